-- Fails on a feature of the registry that the mart lacks, and on a column of the mart that is neither key nor feature.
with mart_columns as (
    select attname::text as feature
    from pg_attribute
    where attrelid = '{{ ref("feature_mart") }}'::regclass and attnum > 0 and attname not in ('symbol', 'time', 'available_at')
)

select coalesce(r.feature, c.feature) as feature
from {{ ref('feature_registry') }} as r
full join mart_columns as c on r.feature = c.feature
where r.feature is null or c.feature is null
