-- The time features, one row per symbol and bar.
-- depends_on: {{ ref('feat_time__calendar') }}
{{ features_by_bar('time') }}
