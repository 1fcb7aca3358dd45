-- The cross-asset features, one row per symbol and bar.
-- depends_on: {{ ref('feat_cross_asset__market') }}
{{ features_by_bar('cross_asset') }}
