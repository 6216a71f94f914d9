"""`taxiops history` of a damaged ledger: shown all the same, and not passed over."""

import json
from typing import Any

from pytest_mock import MockerFixture

from taxiops.domain.hash_chain import Break
from taxiops.workflows.history import HistoryResult

from .outcomes import PUT

DAMAGED = HistoryResult(
    "dev", "e", (PUT,), {"blue": PUT}, (Break(1, "entry 1 was edited"),), 4, "taxiops x"
)


def test_a_damaged_ledger_ends_with_exit_3_and_names_the_entry(
    typed: Any, mocker: MockerFixture
) -> None:
    mocker.patch("taxiops.workflows.history.read_history", return_value=DAMAGED)
    accepted = mocker.patch("taxiops.workflows.history.accept_breaks")
    shown = typed("history")
    assert shown.exit_code == 3
    assert "entry 1 was edited" in shown.stdout
    assert "blue 100" in shown.stdout
    told = typed("history", "--json", "--accept", "a drill")
    assert json.loads(told.stdout)["ledger"] == {"entries": 4, "breaks": ["entry 1 was edited"]}
    assert accepted.call_args.args[1] == "a drill"
