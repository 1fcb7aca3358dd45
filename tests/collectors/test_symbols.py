import pytest

from collectors.symbols import (
    SymbolError,
    canonical_symbol,
    exchange_symbol,
    multiplier_of,
    split_symbol,
)


@pytest.mark.parametrize("text", ["SOLUSDT", "solusdt", "SOL/USDT", "SOL/USDT:USDT", " sol/usdt:usdt "])
def test_all_spellings_name_the_same_perpetual(text: str) -> None:
    assert canonical_symbol(text) == "SOL/USDT"
    assert exchange_symbol(text) == "SOLUSDT"
    assert split_symbol(text) == ("SOL", "USDT")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("BTCUSDC", "BTC/USDC"), ("1000PEPEUSDT", "1000PEPE/USDT"), ("币安人生USDT", "币安人生/USDT")],
)
def test_other_quotes_multipliers_and_chinese_tickers_are_symbols(text: str, canonical: str) -> None:
    assert canonical_symbol(text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        *("", "SOL", "USDT", "/USDT", "SOL/", "SOL/EUR", "SOL/USDT:USDC", "SOL/USDT:BTC", "SOL/USDT:"),
        *("BTCUSD_PERP", "BTCUSDT_250627", "SO-L/USDT", "SOL/USDT/USDT", "S" * 60 + "USDT"),
    ],
)
def test_what_is_no_perpetual_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SymbolError, match="unknown symbol") as error:
        canonical_symbol(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("symbol", "multiplier"),
    [
        ("SOL/USDT", 1),
        ("1INCH/USDT", 1),
        ("1000PEPE/USDT", 1_000),
        ("10000SATS/USDT", 10_000),
        ("1000000MOG/USDT", 1_000_000),
        ("1MBABYDOGE/USDT", 1_000_000),
    ],
)
def test_multiplier_is_the_number_in_front_of_the_ticker(symbol: str, multiplier: int) -> None:
    assert multiplier_of(symbol) == multiplier
