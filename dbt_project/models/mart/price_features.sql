-- The price features, one row per symbol and bar.
-- depends_on: {{ ref('feat_price__higher_timeframe') }}
-- depends_on: {{ ref('feat_price__momentum') }}
-- depends_on: {{ ref('feat_price__range') }}
-- depends_on: {{ ref('feat_price__returns') }}
-- depends_on: {{ ref('feat_price__trend') }}
{{ features_by_bar('price') }}
