-- All features, one row per symbol and bar. The columns come from the yml of the feature models, through dbt's graph.
-- depends_on: {{ ref('feat_price__momentum') }}
-- depends_on: {{ ref('feat_price__range') }}
-- depends_on: {{ ref('feat_price__returns') }}
-- depends_on: {{ ref('feat_price__trend') }}
-- depends_on: {{ ref('feat_time__calendar') }}
-- depends_on: {{ ref('feat_volume__activity') }}
-- depends_on: {{ ref('feat_volume__flow') }}
{{ features_by_bar() }}
