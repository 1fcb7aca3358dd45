"""Hundreds of orders of arrival, and what else may happen to data and runs, with other ones each time."""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from .arrivals import Step
from .first_build import check_plan
from .mart import Databases
from .plans import plans


@pytest.mark.proof
@given(steps=plans())
@settings(
    max_examples=int(os.environ.get("ARRIVAL_EXAMPLES", "200")),
    deadline=None,
    database=None,
    # A run of a plan takes seconds: the plan that failed is shown as it is.
    phases=[Phase.generate],
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
def test_hundreds_of_orders_of_arrival_are_forgotten(databases: Databases, steps: list[Step]) -> None:
    check_plan(databases, steps)
