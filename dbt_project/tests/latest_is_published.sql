-- Fails on a symbol whose newest vector is not the published bar.
select l.symbol, l.time
from {{ ref('latest_features') }} as l
left join published as p on l.symbol = p.symbol
where p.time is distinct from l.time
