"""A seeded sample of the fault matrix; `make bench` runs as many cases as it is given time for."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from taxiops.workflows.deploy import DeployOptions, deploy

from .fault_matrix import HAZARDS, VERBS, Case, Matrix, drawn, ignore

if TYPE_CHECKING:
    from conftest import Promoted, World

SEED = int(os.environ.get("MATRIX_SEED", "1"))
COUNT = int(os.environ.get("MATRIX_CASES", "3"))


@pytest.fixture(scope="module")
def matrix(world: "World", first: "Promoted", second: "Promoted") -> Matrix:
    settings = world.settings(endpoint="matrix", requests=3, live_requests=3, live_connections=2)
    versions = (first.promotion.version, second.promotion.version)
    deploy(settings, DeployOptions(model_version=versions[0]), ignore)
    return Matrix(settings, versions, world.state)


@pytest.mark.parametrize("case", drawn(SEED, COUNT), ids=str)
def test_traffic_ends_as_wanted_or_exactly_as_before(
    matrix: Matrix, case: Case, record_property: Callable[[str, str], None]
) -> None:
    problems = matrix.run(case)
    fault = HAZARDS[case.hazard]
    hazard = f"{fault['kind']} on {fault['on']}" if fault else "none"
    for name, value in {"verb": case.verb, "hazard": hazard, **matrix.last}.items():
        record_property(name, value)
    assert problems == []


def test_every_verb_meets_every_hazard() -> None:
    every = len(VERBS) * len(HAZARDS)
    assert len({(case.verb, case.hazard) for case in drawn(SEED, every)}) == every
