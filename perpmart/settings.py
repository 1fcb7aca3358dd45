"""The settings, each with one home: a ``PERPMART_*`` variable or a line of ``.env`` (the variable wins).

Read once, by the command line, and handed on as arguments; no other module looks at the environment.
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from dotenv import dotenv_values
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from collectors.quality_checks import configured
from collectors.symbols import canonical_symbol
from perpmart.errors import SettingsError
from perpmart.urls import check_no_password, check_scheme, mask_password

PREFIX = "PERPMART_"
ENV_FILE = Path(".env")
# Read by others than this module: the tests and docker-compose.yml.
_OTHER_NAMES = (
    *("PERPMART_TEST_DATABASE_URL", "PERPMART_TEST_TIMESCALE_URL", "PERPMART_TEST_TIMESCALE_APACHE_URL"),
    *("PERPMART_POSTGRES_PASSWORD", "PERPMART_REDIS_PASSWORD"),
)


class Settings(BaseSettings):
    """Addresses and knobs of one deployment, fixed for the life of the process."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=ENV_FILE, extra="ignore", frozen=True)

    database_url: str | None = Field(None, description="PostgreSQL to use; unset: the embedded one")
    redis_url: str | None = Field(None, description="Redis to use; unset: the embedded one")
    exchange_url: str = Field("https://fapi.binance.com", description="root of the exchange's REST interface")
    stream_url: str = Field("wss://fstream.binance.com", description="root of the exchange's streams")
    symbols: Annotated[tuple[str, ...], NoDecode] = Field(
        ("BTC/USDT", "ETH/USDT", "SOL/USDT"), description="perpetuals to collect, separated by commas"
    )
    benchmark: str = Field("BTC/USDT", description="symbol that the cross-symbol features compare with")
    schema_prefix: str = Field(
        "", pattern=r"^([a-z_][a-z0-9_]{0,20})?$", description="put before every schema's name"
    )
    checks: Annotated[dict[str, str], NoDecode] = Field(
        {}, description="severity of checks of the raw tables: name=fail|warn|off, * for all"
    )
    threads: int = Field(2, ge=1, le=64, description="models that dbt builds at once")
    metrics_port: int = Field(
        9108, ge=0, le=65535, description="loopback port of a live process's metrics; 0 takes a free one"
    )
    state_dir: Path = Field(Path(".perpmart"), description="folder of the embedded servers")
    shared_data: Path | None = Field(None, description="folder of recorded market data that tests may use")

    @field_validator("database_url", "redis_url", "shared_data", mode="before")
    @classmethod
    def _blank_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: str | None) -> str | None:
        return value and check_scheme(value, ("postgresql", "postgres"))

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: str | None) -> str | None:
        return value and check_scheme(value, ("redis", "rediss", "unix"))

    @field_validator("exchange_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        return check_no_password(check_scheme(value, ("https", "http"))).rstrip("/")

    @field_validator("stream_url")
    @classmethod
    def _is_websocket(cls, value: str) -> str:
        return check_no_password(check_scheme(value, ("wss", "ws"))).rstrip("/")

    @field_validator("symbols", mode="before")
    @classmethod
    def _split_symbols(cls, value: object) -> object:
        if isinstance(value, str):
            value = [name.strip() for name in value.split(",") if name.strip()]
        if not isinstance(value, Iterable):
            return value
        symbols = tuple(dict.fromkeys(canonical_symbol(str(name)) for name in value))
        if not symbols:
            raise ValueError("at least one symbol is needed")
        return symbols

    @field_validator("checks", mode="before")
    @classmethod
    def _split_checks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        if wrong := next(("".join(pair) for pair in pairs if not pair[1]), None):
            raise ValueError(f"{wrong!r} is not of the form name=fail, name=warn or name=off")
        return {name.strip(): severity.strip() for name, _, severity in pairs}

    @field_validator("checks")
    @classmethod
    def _known_checks(cls, value: dict[str, str]) -> dict[str, str]:
        try:
            configured(value)
        except SettingsError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("benchmark")
    @classmethod
    def _canonical_benchmark(cls, value: str) -> str:
        return canonical_symbol(value)

    @field_validator("state_dir", "shared_data")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value and value.expanduser().absolute()

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Give pydantic the pairs of the repr, with passwords masked."""
        for name, value in super().__repr_args__():
            yield name, mask_password(value) if isinstance(value, str) and "://" in value else value


def load_settings(*, env_file: Path = ENV_FILE) -> Settings:
    """Read the settings from the environment and `env_file`.

    Raises
    ------
    SettingsError
        If a name is misspelt or a value malformed; the text names it, and the nearest known name.
    """
    try:
        from_file = dotenv_values(env_file)
    except OSError as error:
        raise SettingsError(f"{env_file} cannot be read: {error.strerror}") from error
    _refuse_unknown_names(os.environ, place="the environment")
    _refuse_unknown_names(from_file, place=str(env_file), own_file=True)
    try:
        return Settings(_env_file=env_file)  # type: ignore[call-arg]  # known to pydantic-settings only
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = f"{PREFIX}{first['loc'][0]}".upper()
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise SettingsError(f"{name}={mask_password(str(first['input']))}: {reason}") from None


def known_names() -> tuple[str, ...]:
    """Return the name of every setting as it is written in the environment."""
    return tuple(f"{PREFIX}{name}".upper() for name in Settings.model_fields)


def _refuse_unknown_names(names: Mapping[str, object], *, place: str, own_file: bool = False) -> None:
    """Raise SettingsError for the first of `names` that was surely meant as one of ours.

    That is one that starts with our prefix, or is so near to a known one that it must be a slip; in our own
    file also one that lacks the prefix, as it would be without effect.
    """
    known = (*known_names(), *_OTHER_NAMES)
    for name in names:
        upper = name.upper()
        if upper in known:
            continue
        near = difflib.get_close_matches(upper, known, n=1, cutoff=0.5 if upper.startswith(PREFIX) else 0.9)
        if own_file and PREFIX + upper in known:
            near = [PREFIX + upper]
        if near or upper.startswith(PREFIX):
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known_names())}"
            raise SettingsError(f"unknown setting {name} in {place}: {hint}")
