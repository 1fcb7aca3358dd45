"""Bytes a bar of raw, bars and features on TimescaleDB Community, before and after compression.

    python benchmarks/compressed_size.py postgresql://.../scratch FOLDER_OF_RECORDED_DATA

The database has to be empty and have the extension; files of the folder are imported, all models built, and
every chunk compressed. Features are compressed here to be measured: by default they are not.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from collectors.archive import import_files
from perpmart.build import build
from perpmart.database import Connection, connect_to
from perpmart.hypertables import keep_in_chunks
from perpmart.migrations import migrate

_LAYERS = ("raw", "bars", "features")


def main(url: str, folder: Path) -> None:
    """Fill, build, compress and print a table."""
    with connect_to(url) as connection:
        migrate(connection)
        keep_in_chunks(connection)
        import_files(connection, [folder], now=datetime.now(UTC))
    build(url)
    with connect_to(url, autocommit=True) as connection:
        bars = _number(connection, "select count(*) from bars.bars_5m")
        tables = _tables(connection)
        connection.execute("vacuum (analyze)")
        before = {table: _size(connection, table) for table in tables}
        for table in tables:
            if not table.startswith("raw."):
                connection.execute(
                    f"alter table {table} set (timescaledb.enable_columnstore,"
                    " timescaledb.segmentby = 'symbol', timescaledb.orderby = 'time')".encode()
                )
            connection.execute(f"select compress_chunk(c) from show_chunks('{table}') as c".encode())
        after = {table: _size(connection, table) for table in tables}
    print(f"{bars:,} bars\n\n| table | rows' bytes a bar | compressed | ratio |\n|---|---:|---:|---:|")
    for table in tables:
        if before[table] > 100_000:
            _line(table, before[table], after[table], bars)
    for layer in _LAYERS:
        ours = [table for table in tables if table.startswith(f"{layer}.")]
        _line(f"all of {layer}", sum(before[t] for t in ours), sum(after[t] for t in ours), bars)


def _line(what: str, before: int, after: int, bars: int) -> None:
    print(f"| {what} | {before / bars:,.0f} | {after / bars:,.0f} | {before / max(after, 1):.1f} |")


def _tables(connection: Connection) -> list[str]:
    rows = connection.execute(
        "select hypertable_schema || '.' || hypertable_name from timescaledb_information.hypertables"
        " where hypertable_schema = any(%s) order by array_position(%s, hypertable_schema::text), 1",
        [list(_LAYERS), list(_LAYERS)],
    )
    return [str(name) for (name,) in rows]


def _size(connection: Connection, table: str) -> int:
    return _number(connection, f"select hypertable_size('{table}')")


def _number(connection: Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
