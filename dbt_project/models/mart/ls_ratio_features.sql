-- The long/short features, one row per symbol and bar.
-- depends_on: {{ ref('feat_ls_ratio__accounts') }}
{{ features_by_bar('ls_ratio') }}
