-- The order-book features, one row per symbol and bar.
-- depends_on: {{ ref('feat_order_book__depth') }}
{{ features_by_bar('order_book') }}
