"""Every command's outcome without a terminal, without colour, narrow, wide and in plain ASCII."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_mock import MockerFixture
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from taxiops.cli.app import app

from .outcomes import COMMANDS, Outcome, played

COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-9]|4[0-9]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
EVERY = pytest.mark.parametrize("outcome", COMMANDS, ids=lambda each: each.line)


def ascii_typed(*arguments: str) -> Result:
    """Runs a command line whose streams know nothing but ASCII."""
    return CliRunner(charset="ascii").invoke(app, list(arguments))


def words(text: str) -> str:
    """The text without blanks, line breaks and escapes: what folding does not change."""
    return re.sub(r"\s+", "", ESCAPE.sub("", text))


@EVERY
def test_without_a_terminal_width_and_colour_change_nothing(
    outcome: Outcome, typed, mocker: MockerFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = played(outcome, typed, mocker)
    assert usual.stdout
    assert "\x1b" not in usual.output
    for variables in ({"COLUMNS": "40", "NO_COLOR": "1"}, {"COLUMNS": "200", "FORCE_COLOR": "1"}):
        with monkeypatch.context() as patched:
            for name, value in variables.items():
                patched.setenv(name, value)
            again = played(outcome, typed, mocker)
        assert (again.stdout, again.exit_code) == (usual.stdout, usual.exit_code)


@EVERY
def test_a_locale_without_our_letters_loses_letters_and_nothing_else(
    outcome: Outcome, typed, mocker: MockerFixture
) -> None:
    usual, plain = played(outcome, typed, mocker), played(outcome, ascii_typed, mocker)
    assert plain.exit_code == usual.exit_code
    assert plain.stdout == usual.stdout.encode("ascii", "replace").decode("ascii")
    texts = [played(outcome, run, mocker, "--json").stdout for run in (typed, ascii_typed)]
    assert texts[0].isascii()
    # The moment at which `trace` looked.
    one, other = ({**json.loads(text), "created_at": ""} for text in texts)
    assert one == other


@pytest.mark.parametrize("columns", [40, 200])
@EVERY
def test_on_a_terminal_no_line_is_wider_and_nothing_is_cut(
    outcome: Outcome,
    columns: int,
    typed,
    mocker: MockerFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    piped = played(outcome, typed, mocker)
    mocker.patch("taxiops.cli.console.is_terminal", return_value=True)
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = played(outcome, typed, mocker)
    assert shown.exit_code == piped.exit_code
    lines = [ESCAPE.sub("", line) for line in shown.stdout.splitlines()]
    assert max(map(cell_len, lines)) <= columns
    assert "…" not in shown.stdout
    # Tables fold cell by cell, so that what is whole in one line when piped may stand in several.
    letters = sorted(re.sub(r"[^\w]", "", words(shown.stdout)))
    assert letters == sorted(re.sub(r"[^\w]", "", words(piped.stdout)))


@EVERY
def test_on_a_terminal_without_colour_there_is_none_and_ascii_draws_its_own_lines(
    outcome: Outcome, typed, mocker: MockerFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    mocker.patch("taxiops.cli.console.is_terminal", return_value=True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not COLOUR.search(played(outcome, typed, mocker).output)
    plain = played(outcome, ascii_typed, mocker)
    assert plain.stdout.isascii()
    assert "????" not in plain.stdout


def test_a_process_in_the_c_locale_says_the_same(tmp_path: Path) -> None:
    """The interpreter's own guess of the encoding, which no runner of tests can stand in for."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.taxiops]\nmodel_base = "ünïcode"\n', encoding="utf-8"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    for line in (["explain"], ["config", "show"], ["gate", "zoë.json"]):
        done = subprocess.run(
            [sys.executable, "-m", "taxiops.cli", *line],
            cwd=tmp_path,
            env=kept | ascii_only | {"PYTHONIOENCODING": "ascii"},
            capture_output=True,
            check=False,
        )
        assert b"Traceback" not in done.stderr
        assert (done.stdout + done.stderr).isascii()
        assert done.returncode in (0, 2, 5)
