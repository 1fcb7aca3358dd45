-- Which side trades: taker imbalance, cumulative volume delta, on-balance volume, money flow (Granville, Chaikin, Quong).
-- Cumulative ones count from the segment's first bar and carry on from the state that each day's last row keeps.
with bars as (
    select
        symbol, time, segment_start, utc_day(time) as utc_day, high, low, close, volume, taker_buy_base,
        (high + low + close) / 3 as typical_price
        {{- kept_columns() }}
    from {{ bars_and_kept() }}
    where {{ in_scope(days_before=1, bars_before=1, bars_back=[1, 12, 14, 20, 288]) }}
),

carried as (
    {{ last_states(days_before=1) }}
),

bars_with_flows as (
    select
        *,
        {{ row_numbers() }},
        2 * taker_buy_base - volume as delta,
        case
            when row_number() over segment = 1 and time = segment_start then 0
            else sign(close - lag(close) over segment)
        end * volume as signed_volume,
        case
            when high = low then 0
            else volume * ((close - low) - (high - close)) / nullif(high - low, 0)
        end as money_flow_volume,
        case
            when typical_price > lag(typical_price) over segment then typical_price * volume
            when typical_price <= lag(typical_price) over segment then 0 * volume
        end as positive_flow,
        case
            when typical_price < lag(typical_price) over segment then typical_price * volume
            when typical_price >= lag(typical_price) over segment then 0 * volume
        end as negative_flow
    from bars
    {{ rolling_windows() }}
),

cumulative as (
    select
        flows.*,
        {{ accumulated('delta', 'delta_so_far', state=1) }},
        {{ accumulated('signed_volume', 'signed_volume_so_far', state=2) }}
    from bars_with_flows as flows
    left join carried using (symbol, segment_start)
    where flows.time >= (select scope_days_before(1))
    {{ rolling_windows() }}
),

bars_with_balances as (
    select
        *,
        case when delta is not null then delta_so_far end as cvd,
        case when signed_volume is not null then signed_volume_so_far end as obv
    from cumulative
),

bars_with_anchors as (
    select
        *,
        {{ day_anchor('obv', 'obv_anchor') }}
    from bars_with_balances
    {{ rolling_windows() }}
),

day_blocks as (
    select
        *,
        {{ day_block('delta') }},
        {{ day_block('volume') }},
        {{ day_block('obv', anchor='obv_anchor') }},
        {{ day_block('money_flow_volume') }},
        {{ day_block('positive_flow') }},
        {{ day_block('negative_flow') }}
    from bars_with_anchors
    {{ rolling_windows() }}
),

blocks_back as (
    select
        *,
        {{ look_back('delta', [12, 288]) }},
        {{ look_back('volume', [12, 20, 288]) }},
        {{ look_back('obv', [20], anchor='obv_anchor') }},
        {{ look_back('money_flow_volume', [20]) }},
        {{ look_back('positive_flow', [14]) }},
        {{ look_back('negative_flow', [14]) }}
    from day_blocks
    {{ rolling_windows() }}
),

features as (
    select
        symbol,
        time,
        {{ safe_ratio('taker_buy_base', 'volume') }} as taker_buy_ratio,
        {{ safe_ratio(rolling_sum('delta', 12), rolling_sum('volume', 12)) }} as taker_imbalance_12,
        {{ safe_ratio(rolling_sum('delta', 288), rolling_sum('volume', 288)) }} as taker_imbalance_288,
        cvd,
        {{ rolling_sum('delta', 288) }} as cvd_24h,
        obv,
        {{ rolling_mean('obv', 20, 'obv_anchor') }} as obv_sma_20,
        {{ safe_ratio(rolling_sum('money_flow_volume', 20), rolling_sum('volume', 20)) }} as cmf,
        {{ relative_strength(rolling_sum('positive_flow', 14), rolling_sum('negative_flow', 14)) }} as mfi,
        case
            when time = utc_day + interval '23 hours 55 minutes' then array[delta_so_far, signed_volume_so_far]
        end as state
        {{- kept() }}
    from blocks_back
)

select * from features
