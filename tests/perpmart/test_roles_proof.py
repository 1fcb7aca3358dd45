"""The whole build by somebody who is only a builder."""

from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from psycopg import sql

from perpmart.build import run_dbt
from perpmart.database import connect_to
from perpmart.migrations import migrate
from perpmart.roles import ROLES, make_roles, role_name
from tests.conftest import NewDatabase

PREFIX = "rb_"


@pytest.mark.proof
def test_a_builder_builds_the_mart_and_an_analyst_reads_it(new_database: NewDatabase) -> None:
    url, bob = new_database(label="builder"), f"bob_{uuid4().hex[:6]}"
    with connect_to(url, prefix=PREFIX) as owner:
        migrate(owner, PREFIX)
        make_roles(owner, PREFIX)
        builder = role_name("builder", PREFIX)
        owner.execute(
            sql.SQL("create role {0} login password 'for-this-test-only'; grant {1} to {0};"
                    " alter role {0} set role = {1}").format(sql.Identifier(bob), sql.Identifier(builder))
        )  # fmt: skip
        owner.commit()
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        netloc = f"{bob}:for-this-test-only@{place}"
        try:
            run_dbt(["build"], urlunsplit(parts._replace(netloc=netloc)), prefix=PREFIX)
            owner.execute(sql.SQL("set role {}").format(sql.Identifier(role_name("analyst", PREFIX))))
            owner.execute(f"select * from {PREFIX}mart.feature_mart".encode())
            features = owner.execute(
                f"select count(*) from {PREFIX}mart.feature_registry".encode()
            ).fetchone()
            assert features == (170,)
        finally:
            owner.rollback()
            owner.execute("reset role")
            for name in (bob, *(role_name(role, PREFIX) for role in ROLES)):
                owner.execute(
                    sql.SQL("drop owned by {0} cascade; drop role {0}").format(sql.Identifier(name))
                )
            owner.commit()
