-- The liquidation features, one row per symbol and bar.
-- depends_on: {{ ref('feat_liquidations__pressure') }}
{{ features_by_bar('liquidations') }}
