"""Names of the perpetuals: ours (``SOL/USDT``), the exchange's (``SOLUSDT``), ccxt's (``SOL/USDT:USDT``)."""

import re

from perpmart.errors import PerpmartError

QUOTES: tuple[str, ...] = ("USDT", "USDC", "BUSD", "USD1")
"""Currencies in which USD-M perpetuals are quoted and margined."""

_MULTIPLIER = re.compile(r"(?P<number>10{3,6})(?=[A-Z])|(?P<million>1M)(?=[A-Z]{3})")
_LONGEST = 40


class SymbolError(PerpmartError, ValueError):
    """A text that names no USD-M perpetual."""


def canonical_symbol(symbol: str) -> str:
    """Give our name of a perpetual.

    Parameters
    ----------
    symbol : str
        ``SOLUSDT``, ``SOL/USDT:USDT`` or ``SOL/USDT``, in any case.

    Returns
    -------
    str
        ``SOL/USDT``, meaning the perpetual margined in the quote currency.

    Raises
    ------
    SymbolError
        When the text names no USD-M perpetual: unknown quote currency, a dated or COIN-M contract, another
        settlement currency, strange characters.

    Examples
    --------
    >>> canonical_symbol("1000PEPEUSDT")
    '1000PEPE/USDT'
    """
    base, quote = _split(symbol)
    return f"{base}/{quote}"


def exchange_symbol(symbol: str) -> str:
    """Give the exchange's name of a perpetual; accepts and refuses what `canonical_symbol` does.

    Examples
    --------
    >>> exchange_symbol("SOL/USDT")
    'SOLUSDT'
    """
    base, quote = _split(symbol)
    return base + quote


def split_symbol(symbol: str) -> tuple[str, str]:
    """Give base and quote currency of a perpetual; accepts and refuses what `canonical_symbol` does."""
    return _split(symbol)


def multiplier_of(symbol: str) -> int:
    """Give the number of coins in one unit of the contract's base currency.

    Cheap coins trade in units of 1,000 to 1,000,000; the exchange writes the number in front of the ticker.

    Examples
    --------
    >>> multiplier_of("1000PEPE/USDT"), multiplier_of("1MBABYDOGE/USDT"), multiplier_of("1INCH/USDT")
    (1000, 1000000, 1)
    """
    base, _ = _split(symbol)
    match = _MULTIPLIER.match(base)
    if match is None:
        return 1
    return 1_000_000 if match["million"] else int(match["number"])


def _split(symbol: str) -> tuple[str, str]:
    text = symbol.strip().upper()
    pair, colon, settle = text.partition(":")
    base, slash, quote = pair.partition("/")
    if not slash and not colon:
        quote = next((known for known in QUOTES if pair.endswith(known)), "")
        base = pair.removesuffix(quote) if quote else ""
    # isalnum, not A-Z: the exchange lists tickers in Chinese characters too.
    valid = base.isalnum() and quote in QUOTES and len(base) <= _LONGEST
    if not valid or (colon and settle != quote):
        shown = symbol if len(symbol) <= _LONGEST else symbol[:_LONGEST] + "..."
        raise SymbolError(
            f"unknown symbol {shown!r}: expected a USD-M perpetual such as SOL/USDT, SOLUSDT or SOL/USDT:USDT"
            f" (quoted in {', '.join(QUOTES)})"
        )
    return base, quote
