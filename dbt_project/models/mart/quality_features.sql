-- The quality features, one row per symbol and bar.
-- depends_on: {{ ref('feat_quality__inputs') }}
{{ features_by_bar('quality') }}
