"""The checks of the raw tables: which there are, how grave a finding is, what each asks.

A check is a function of the raw schema (``collectors/schema/quality_*.sql``) that gives the rows breaking one
rule; so an analyst can ask the same in psql, for example
``select * from raw.check_ohlcv_order('-infinity', 'infinity', now(), null)``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from perpmart.errors import SettingsError

Severity = Literal["fail", "warn", "off"]
"""``fail`` makes the run fail, ``warn`` is shown only, ``off`` is not asked."""

_RANGE = "%(since)s, %(until)s, %(clock)s, %(symbols)s"
_SHORT = "%(since)s, %(until)s, %(symbols)s"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One rule of a raw table.

    Parameters
    ----------
    name : str
        ``<table>_<rule>``, as `PERPMART_CHECKS` names it.
    table : str
        Raw table.
    rule : str
        What must hold, as a person would say it.
    severity : str
        What a finding does.
    call : str
        SQL expression with named parameters ``since``, ``until``, ``clock``, ``symbols``; its rows are
        symbol, part of the table, time and what was found.
    """

    name: str
    table: str
    rule: str
    severity: Severity = "fail"
    call: str


def _check(table: str, what: str, rule: str, severity: Severity = "fail", call: str = "") -> Check:
    name = f"{table}_{what}"
    return Check(name=name, table=table, rule=rule, severity=severity, call=call or f"check_{name}({_RANGE})")


def _sources(table: str) -> Check:
    call = f"check_sources({_SHORT}, '{table}')"
    return _check(table, "sources", "archive, REST and stream agree within 0.1 % (prices) or 1 %", call=call)


def _lateness(table: str, lag: str) -> Check:
    call = f"check_lateness({_SHORT}, '{table}', interval '{lag}')"
    return _check(table, "lateness", f"of streamed rows 99.9 % are there {lag} after their time", call=call)


def _freshness(table: str, patience: str) -> Check:
    call = f"check_freshness(%(clock)s, %(symbols)s, '{table}', interval '{patience}')"
    rule = f"the newest row is at most two grid steps and {patience} old"
    return _check(table, "freshness", rule, "warn", call)


def _listed(table: str) -> Check:
    return _check(
        table, "listed", "no row outside of the symbol's listings", call=f"check_listed({_SHORT}, '{table}')"
    )


CHECKS: tuple[Check, ...] = (
    _check("ohlcv", "time", "open times lie on the grid; no bar is still forming"),
    _check("ohlcv", "range", "prices are positive, volumes are not negative, all are finite"),
    _check("ohlcv", "order", "open and close lie within low..high"),
    _check("ohlcv", "takers", "taker volumes are part of the whole"),
    _check("ohlcv", "mean_price", "quote volume by volume is a price of the bar"),
    _check("ohlcv", "holes", "a missing bar is answered for by a source or noted as a hole"),
    _check("ohlcv", "traded", "no bar is missing in which takers traded"),
    _check("ohlcv", "quiet", "every bar that a source answered for has a kline", "warn"),
    _check("ohlcv", "sums", "5m klines make up the wider klines"),
    _check("ohlcv", "outliers", "no price moves by more than 30 robust deviations", "warn"),
    _sources("ohlcv"),
    _listed("ohlcv"),
    _lateness("ohlcv", "5 seconds"),
    _freshness("ohlcv", "10 minutes"),
    _check("open_interest", "range", "amounts are not negative, finite, on the grid, not of the future"),
    _check("open_interest", "price", "value by amount is the market's price within 5 %"),
    _check("open_interest", "complete", "a row at every step that REST or archive answered for"),
    _check("open_interest", "outliers", "no change by more than 30 robust deviations", "warn"),
    _sources("open_interest"),
    _listed("open_interest"),
    _freshness("open_interest", "15 minutes"),
    _check("funding_rate", "range", "rates within 5 %, settled on full hours, not in the future",
           call=f"check_funding_range({_RANGE})"),
    _check("funding_rate", "spacing", "settlements 1, 2, 4 or 8 hours apart, none missing",
           call=f"check_funding_spacing({_RANGE})"),
    _check("funding_rate", "price", "the mark price is the market's within 5 %",
           call=f"check_funding_price({_RANGE})"),
    _check("funding_rate", "outliers", "no rate is off by more than 30 robust deviations", "warn",
           f"check_funding_outliers({_RANGE})"),
    _sources("funding_rate"),
    _listed("funding_rate"),
    _freshness("funding_rate", "9 hours"),
    _check("long_short_ratio", "range", "ratios and shares are not negative, finite, on the grid",
           call=f"check_ratio_range({_RANGE})"),
    _check("long_short_ratio", "parts", "ratio = long / short, shares add up to 1, but for rounding",
           call=f"check_ratio_parts({_RANGE})"),
    _check("long_short_ratio", "complete", "a row at every step that REST or archive answered for",
           call=f"check_ratio_complete({_RANGE})"),
    _sources("long_short_ratio"),
    _listed("long_short_ratio"),
    _freshness("long_short_ratio", "15 minutes"),
    _check("liquidations", "range", "price, quantity, side are possible; filled at most what was ordered"),
    _check("liquidations", "price", "filled within 5 % of the bar's prices"),
    _lateness("liquidations", "2 seconds"),
    _check("order_book", "range", "both sides sorted, positive, not crossed"),
    _check("order_book", "price", "the best bid is within 5 % of the bar's prices"),
    _lateness("order_book", "2 seconds"),
    _check("mark_price", "range", "mark and index positive, finite, within 10 % of each other"),
    _check("mark_price", "price", "the mark price is within 5 % of the bar's prices"),
    _check("mark_price", "complete", "a row at every five minutes that REST or archive answered for"),
    _sources("mark_price"),
    _lateness("mark_price", "2 seconds"),
    _freshness("mark_price", "10 minutes"),
    _check("rejects", "open", "no refused line waits for a look", "warn", f"check_rejects({_RANGE})"),
)  # fmt: skip
"""Every check, table by table."""


def configured(overrides: Mapping[str, str], checks: Sequence[Check] = CHECKS) -> tuple[Check, ...]:
    """Give the checks with other severities, without those that are off.

    Parameters
    ----------
    overrides : mapping of str to str
        Severity by name of a check, or by ``*`` for all; a name wins over ``*``.

    Raises
    ------
    SettingsError
        An unknown check or severity.

    Examples
    --------
    >>> [check.severity for check in configured({"*": "warn", "ohlcv_order": "fail"})][:3]
    ['warn', 'warn', 'fail']
    """
    names = {check.name for check in checks}
    for name, severity in overrides.items():
        if name != "*" and name not in names:
            raise SettingsError(f"unknown check {name}; known are {', '.join(sorted(names))}")
        if severity not in get_args(Severity):
            raise SettingsError(f"check {name}: unknown severity {severity!r}, choose fail, warn or off")

    def severity_of(check: Check) -> Severity:
        return cast("Severity", overrides.get(check.name, overrides.get("*", check.severity)))

    chosen = (replace(check, severity=severity_of(check)) for check in checks)
    return tuple(check for check in chosen if check.severity != "off")
