"""Errors explained: by their code, on the terminal and below every message that has one."""

from taxiops.cli.error_codes import explanations


def test_a_code_is_explained(typed, document) -> None:
    assert "The slot has not passed its test" in typed("explain", "slot-untested").stdout
    told = document("explain", "slot-untested")
    assert sorted(told) == ["errors", "next_command", "schema_version"]
    assert [sorted(each) for each in told["errors"]] == [["code", "do", "means"]]


def test_without_a_code_all_are_listed(typed, document) -> None:
    assert len(document("explain")["errors"]) == len(explanations()) > 150
    assert "lease-held" in typed("explain").stdout


def test_a_misspelt_code_is_corrected(typed) -> None:
    result = typed("explain", "slot-untestd")
    assert result.exit_code == 5
    assert "next: taxiops explain slot-untested" in result.stderr


def test_a_message_says_where_more_is_said(typed) -> None:
    lines = typed("gate", "missing.json").stderr.splitlines()
    assert lines[-2:] == ["  more: taxiops explain file-missing", "  next: taxiops compare"]
