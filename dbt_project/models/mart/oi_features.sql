-- The open-interest features, one row per symbol and bar.
-- depends_on: {{ ref('feat_oi__interest') }}
{{ features_by_bar('oi') }}
