-- The newest row of each symbol whose features are all complete; one row per symbol.
select newest.*
from published
cross join lateral (
    select * from {{ ref('feature_mart') }} as mart
    where mart.symbol = published.symbol and mart.time = published.time
    -- Keeps these few rows a search by key each: as a join, the whole history would be read.
    offset 0 -- noqa: AM09
) as newest
