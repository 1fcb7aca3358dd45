-- The funding features, one row per symbol and bar.
-- depends_on: {{ ref('feat_funding__rates') }}
{{ features_by_bar('funding') }}
