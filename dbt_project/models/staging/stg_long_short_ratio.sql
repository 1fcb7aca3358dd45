-- Long/short ratios, one series a kind: of equal stamps the finest period counts.
-- A taker ratio describes the bar that starts at its stamp, the others are snapshots at it.
select distinct on (symbol, ratio_type, time)
    symbol,
    ratio_type,
    time,
    period,
    long_short_ratio,
    long_account,
    short_account,
    source,
    case
        when ratio_type = 'taker_volume' then time + timeframe_width(period) + interval '{{ var("lag_taker_volume") }}'
        else time + interval '{{ var("lag_long_short_ratio") }}'
    end as known_at
from {{ source('raw', 'long_short_ratio') }}
where period = any(periods())
order by symbol, ratio_type, time, timeframe_width(period)
