-- The volume features, one row per symbol and bar.
-- depends_on: {{ ref('feat_volume__activity') }}
-- depends_on: {{ ref('feat_volume__flow') }}
{{ features_by_bar('volume') }}
