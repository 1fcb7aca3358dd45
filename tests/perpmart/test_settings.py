"""Settings: what is accepted, what is refused and in which words, and that passwords stay hidden."""

from pathlib import Path

import pytest

from perpmart.errors import SettingsError
from perpmart.settings import Settings, known_names, load_settings

NO_FILE = Path("/nonexistent/.env")


def load_with(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings(env_file=NO_FILE)


def test_without_any_setting_the_embedded_servers_and_the_real_exchange_are_meant() -> None:
    settings = load_settings(env_file=NO_FILE)
    assert settings.database_url is None
    assert settings.redis_url is None
    assert settings.exchange_url == "https://fapi.binance.com"
    assert settings.symbols == ("BTC/USDT", "ETH/USDT", "SOL/USDT")
    assert settings.state_dir.name == ".perpmart"
    assert settings.state_dir.is_absolute()


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("PERPMART_DATABASE_URI", "PERPMART_DATABASE_URL"),
        ("PERPMART_DATABSE_URL", "PERPMART_DATABASE_URL"),
        ("PERPMART_SYMBOL", "PERPMART_SYMBOLS"),
        ("PERPMART_REDIS", "PERPMART_REDIS_URL"),
        ("PERMPART_EXCHANGE_URL", "PERPMART_EXCHANGE_URL"),
    ],
)
def test_misspelt_variable_is_an_error_naming_it_and_the_nearest(
    monkeypatch: pytest.MonkeyPatch, wrong: str, right: str
) -> None:
    with pytest.raises(SettingsError, match=f"{wrong} in the environment: did you mean {right}\\?"):
        load_with(monkeypatch, **{wrong: "x"})


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("PERPMART_DATABSE_URL=x", "PERPMART_DATABASE_URL"),
        ("PERMPART_REDIS_URL=x", "PERPMART_REDIS_URL"),
        ("REDIS_URL=x", "PERPMART_REDIS_URL"),
    ],
)
def test_misspelt_key_of_the_env_file_is_an_error_too(tmp_path: Path, line: str, right: str) -> None:
    file = tmp_path / ".env"
    file.write_text(line)
    with pytest.raises(SettingsError, match=f"did you mean {right}\\?") as raised:
        load_settings(env_file=file)
    assert str(file) in str(raised.value)


def test_strangers_variables_are_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("AWS_REGION=eu\nPERPMART_POSTGRES_PASSWORD=for-compose\nPERPMART_SCHEMA_PREFIX=file_\n")
    monkeypatch.setenv("SYMBOLS", "other")
    assert load_settings(env_file=file).schema_prefix == "file_"


def test_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PERPMART_SCHEMA_PREFIX=file_\n")
    monkeypatch.setenv("PERPMART_SCHEMA_PREFIX", "env_")
    assert load_settings(env_file=file).schema_prefix == "env_"


def test_symbols_are_accepted_in_any_spelling_and_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_with(monkeypatch, PERPMART_SYMBOLS="SOLUSDT, BTC/USDT:USDT,SOL/USDT")
    assert settings.symbols == ("SOL/USDT", "BTC/USDT")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PERPMART_SYMBOLS", ""),
        ("PERPMART_SYMBOLS", "NONSENSE"),
        ("PERPMART_BENCHMARK", "BTC/EUR"),
        ("PERPMART_SCHEMA_PREFIX", "Bad-Prefix"),
        ("PERPMART_DATABASE_URL", "mysql://host/db"),
        ("PERPMART_REDIS_URL", "localhost:6379"),
        ("PERPMART_EXCHANGE_URL", "ftp://host"),
        ("PERPMART_STREAM_URL", "https://host"),
        ("PERPMART_THREADS", "many"),
    ],
)
def test_malformed_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=name) as raised:
        load_with(monkeypatch, **{name: value})
    assert "\n" not in str(raised.value)


def test_passwords_are_masked_in_repr_and_in_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_with(
        monkeypatch,
        PERPMART_DATABASE_URL="postgresql://ann:hush1@host/db?sslpassword=hush2",
        PERPMART_REDIS_URL="redis://:hush3@host/0",
    )
    assert "hush" not in f"{settings!r} {settings}"
    assert settings.database_url is not None
    assert "hush1" in settings.database_url
    with pytest.raises(SettingsError) as raised:
        load_with(monkeypatch, PERPMART_REDIS_URL="http://:hush4@host")
    assert "hush4" not in str(raised.value)


def test_blank_address_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_with(monkeypatch, PERPMART_DATABASE_URL="").database_url is None


def test_every_setting_is_explained() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    assert "PERPMART_DATABASE_URL" in known_names()
