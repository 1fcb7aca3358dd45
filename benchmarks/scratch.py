"""Databases that exist for one measurement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from perpmart.build import build
from perpmart.database import connect_to
from perpmart.migrations import migrate


@contextmanager
def empty_mart(server: str) -> Iterator[str]:
    """Make a database in which dbt has built all models over empty raw tables; gives its address.

    Parameters
    ----------
    server : str
        Address of any database on a server that we may make databases on.
    """
    with raw_tables(server) as url:
        build(url)
        yield url


@contextmanager
def raw_tables(server: str) -> Iterator[str]:
    """Make a database with empty raw tables only; gives its address."""
    with _database(server) as url:
        with connect_to(url) as connection:
            migrate(connection)
        yield url


@contextmanager
def copied(url: str) -> Iterator[str]:
    """Copy a database to which nobody is connected; gives the copy's address."""
    with _database(url, template=str(conninfo_to_dict(url)["dbname"])) as copy:
        yield copy


@contextmanager
def _database(server: str, *, template: str = "template1") -> Iterator[str]:
    name = f"benchmark_{uuid4().hex[:8]}"
    place = make_conninfo(server, dbname="postgres")
    with psycopg.connect(place, autocommit=True) as admin:
        admin.execute(
            sql.SQL("create database {} template {} strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    try:
        yield make_conninfo(server, dbname=name)
    finally:
        with psycopg.connect(place, autocommit=True) as admin:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
