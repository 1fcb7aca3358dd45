"""Look-aheads as people really write them, to be planted in the models: the tests have to find each."""

from dataclasses import dataclass
from datetime import timedelta

from .cuts import Fault


@dataclass(frozen=True)
class Plant:
    """A fault, and where a cut must show it.

    Attributes
    ----------
    fault : what is replaced
    at : the cut, counted from the market's start
    models : models that show it, beside the roll-ups and the bars
    shows_in : columns that must differ
    """

    fault: Fault
    at: timedelta
    models: tuple[str, ...]
    shows_in: tuple[str, ...]


def _day(day: int, hour: int = 0, minute: int = 0) -> timedelta:
    return timedelta(days=day, hours=hour, minutes=minute)


HIGHER = "feat_price__higher_timeframe"
LAST_BAR = "r.time + interval '{}' - interval '5 minutes' = b.time"
HOLE_END = "least(k.next_time, k.time + interval '24 hours 5 minutes', k.grid_end) - interval '5 minutes'"

PLANTS = {
    "next_row": Plant(
        Fault(
            {
                "feat_price__returns": [
                    (
                        "close / lag(close, 1) over segment - 1 as",
                        "lead(close, 1) over segment / close - 1 as",
                    )
                ]
            }
        ),
        _day(11, 14, 35),
        ("feat_price__returns",),
        ("return_1",),
    ),
    "unfinished_hour": Plant(
        Fault(
            {
                "roll_ohlcv_1h": [("having count(*) = 12", "having count(*) >= 1")],
                HIGHER: [(LAST_BAR.format("1 hour"), "r.time = b.time")],
            }
        ),
        _day(11, 14, 35),
        (HIGHER,),
        ("return_1h_htf", "rsi_14_1h", "atr_14_1h"),
    ),
    "unfinished_day": Plant(
        Fault(
            {
                "roll_ohlcv_1d": [("having count(*) = 288", "having count(*) >= 1")],
                HIGHER: [(LAST_BAR.format("24 hours"), "r.time = b.time")],
            }
        ),
        _day(11, 14, 35),
        (HIGHER,),
        ("range_position_1d",),
    ),
    "four_hours_one_bar_early": Plant(
        Fault(
            {HIGHER: [(LAST_BAR.format("4 hours"), LAST_BAR.format("4 hours").replace("5 min", "10 min"))]}
        ),
        _day(11, 15, 55),
        (HIGHER,),
        ("trend_4h",),
    ),
    "open_interest_at_its_own_stamp": Plant(
        Fault(views={"staging.stg_open_interest": [("+ '00:05:00'::interval", "+ '00:00:00'::interval")]}),
        _day(11, 14, 35),
        (),
        ("open_interest",),
    ),
    "taker_ratio_at_its_start": Plant(
        Fault(
            views={
                "staging.stg_long_short_ratio": [
                    ("timeframe_width(period)) + '00:05:00'", "interval '0') + '00:05:00'")
                ]
            }
        ),
        _day(11, 14, 35),
        (),
        ("taker_volume_ratio",),
    ),
    "mark_kline_at_its_open": Plant(
        Fault(
            views={
                "staging.stg_mark_price": [
                    (
                        'SELECT symbol,\n    "time",',
                        "SELECT symbol,\n    \"time\" - interval '5 minutes' as time,",
                    ),
                ]
            }
        ),
        _day(11, 14, 35),
        (),
        ("mark_price", "index_price"),
    ),
    "settlement_without_lag": Plant(
        Fault(views={"staging.stg_funding_rate": [("+ '00:01:00'::interval", "+ '00:00:00'::interval")]}),
        _day(11, 16),
        (),
        ("funding_rate",),
    ),
    "liquidation_by_its_fill": Plant(
        Fault(
            {
                "roll_liquidations_5m": [("interval '-2 seconds'", "interval '0 seconds'")],
                "bars_5m": [("time + interval '2 seconds' as time", "time")],
            }
        ),
        _day(11, 14, 35),
        (),
        ("liquidation_count", "long_liquidations", "short_liquidations"),
    ),
    "mean_of_the_full_sample": Plant(
        Fault(
            {
                "feat_volume__activity": [
                    ("avg(volume) over last_seven_days end", "avg(volume) over (partition by symbol) end")
                ]
            }
        ),
        _day(11, 14, 35),
        ("feat_volume__activity",),
        ("volume_tod_ratio_7d",),
    ),
    "universe_of_today": Plant(
        Fault(
            {
                "feat_cross_asset__market": [
                    (
                        "coalesce(universe.times @> b.time, false)",
                        "coalesce(upper_inf(universe.times), false)",
                    )
                ]
            }
        ),
        _day(11, 2),
        ("feat_cross_asset__market",),
        ("xs_rank_volume_ratio", "xs_breadth_12"),
    ),
    "fill_known_only_after_the_hole": Plant(
        Fault({"bars_5m": [(HOLE_END, "k.next_time - interval '5 minutes'")]}),
        _day(6, 5, 30),
        (),
        ("row",),
    ),
    "benchmark_one_bar_ahead": Plant(
        Fault(
            {
                "feat_cross_asset__market": [
                    (
                        "close / lag(close, 1) over segment - 1 as return_1",
                        "case when symbol = 'BTC/USDT' then lead(close, 1) over segment / close"
                        " else close / lag(close, 1) over segment end - 1 as return_1",
                    )
                ]
            }
        ),
        _day(11, 14, 35),
        ("feat_cross_asset__market",),
        ("btc_return_1", "beta_to_btc_288", "corr_to_btc_288"),
    ),
}
