-- The newest row of each symbol whose features are all complete; one row per symbol.
select mart.*
from published
inner join {{ ref('feature_mart') }} as mart on published.symbol = mart.symbol and published.time = mart.time
