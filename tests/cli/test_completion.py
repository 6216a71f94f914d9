"""The shell's completion: names seen lately, no cloud, no error at the prompt."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from taxiops.cli import completion
from taxiops.cli.app import app
from taxiops.config import load_settings
from taxiops.workflows.known_names import (
    VERSIONS,
    file_of,
    recall,
    remember,
    remember_slots,
)

CHAIN = {"12": "c" * 40, "11": ""}


@pytest.fixture
def offered() -> Callable[..., list[Any]]:
    def offer(complete: completion.Completer, incomplete: str = "", **typed: str) -> list[Any]:
        context = typer.Context(get_command(app))
        context.params = typed
        return complete(context, incomplete)

    return offer


@pytest.fixture
def _seen(tmp_path: Path) -> None:
    settings = load_settings({}, {}, tmp_path)
    remember(settings, VERSIONS, CHAIN)
    remember_slots(settings, "prod", ["canary", "blue"])
    (tmp_path / "artifacts/compare/metrics").mkdir(parents=True)
    report = tmp_path / "artifacts/compare/metrics/comparison.json"
    report.write_text(json.dumps({"job": {"name": "calm_ant"}}), encoding="utf-8")
    state = tmp_path / "artifacts/deploy/dev/deployment_state.json"
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"traffic": {"teal": 100}, "prior_traffic": None}), "utf-8")


@pytest.mark.usefixtures("_seen")
def test_what_was_seen_lately_is_offered(offered) -> None:
    assert offered(completion.versions) == [("12", "c" * 40), "11"]
    assert offered(completion.versions, "11") == ["11"]
    assert offered(completion.commits) == [("c" * 40, "version 12")]
    assert offered(completion.slots) == ["teal", "blue", "green"]
    assert offered(completion.slots, env="prod") == ["blue", "canary", "green"]
    assert "prod/canary" in offered(completion.deployments, "prod/")
    assert offered(completion.jobs) == ["calm_ant"]


@pytest.mark.usefixtures("_seen")
def test_names_of_the_emulator_are_not_offered_for_azure(offered) -> None:
    assert offered(completion.versions, cloud="azure") == []


def test_without_anything_seen_the_usual_names_are_offered(offered) -> None:
    assert offered(completion.slots) == ["blue", "green"]
    assert offered(completion.workspaces) == [("mlwdevcc01", "dev"), ("mlwprodcc01", "prod")]
    assert offered(completion.registries) == ["mlrdevcc01"]
    assert offered(completion.models) == ["taxi-class-dev"]
    assert offered(completion.hazards, "thr") == ["throttle"]


def test_what_is_damaged_offers_nothing_and_says_nothing(offered, tmp_path: Path, capsys) -> None:
    settings = load_settings({}, {}, tmp_path)
    file_of(settings).parent.mkdir()
    file_of(settings).write_text('{"schema_version": 1, "versions": 7', encoding="utf-8")
    assert recall(settings) == {}
    assert offered(completion.versions) == []
    (tmp_path / "pyproject.toml").write_text("[tool.taxiops]\nno = such", encoding="utf-8")
    assert offered(completion.slots) == []
    assert offered(completion.slots, env="nowhere") == []
    assert capsys.readouterr() == ("", "")


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / ".taxiops").write_text("a file", encoding="utf-8")
    settings = load_settings({}, {}, tmp_path)
    remember(settings, VERSIONS, CHAIN)
    assert recall(settings) == {}


@pytest.mark.usefixtures("_seen")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("taxiops deploy --env prod --slot c", ["canary"]),
        ("taxiops trace --model-version 1", ["12", "11"]),
        ("taxiops traffic rollback --env p", ["prod"]),
        ("taxiops explain lease-", ["lease-held", "lease-lost"]),
    ],
)
def test_the_shell_gets_names_without_a_cloud(
    process, words: str, expected: list[str], tmp_path: Path
) -> None:
    done = process(
        _TAXIOPS_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split()) - 1),
    )
    assert (done.stdout.split(), done.stderr, done.returncode) == (expected, "", 0)
    assert not (tmp_path / ".taxiops/emulator").exists()


def test_completing_loads_nothing_heavy() -> None:
    text = (
        "import sys, typer\nfrom typer.main import get_command\n"
        "from taxiops.cli import completion\nfrom taxiops.cli.app import app\n"
        "context = typer.Context(get_command(app))\n"
        "completion.versions(context, ''), completion.slots(context, '')\n"
        "heavy = {'azure', 'pandas', 'numpy', 'rich'}\n"
        "assert not heavy & {name.split('.')[0] for name in sys.modules}"
    )
    subprocess.run([sys.executable, "-c", text], check=True)
