"""Every command block of the runbook is typed, in order, in a project on the emulator."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .pages import ROOT, Block, blocks, copy_project, typed

RUNBOOK = ROOT / "docs" / "runbook.md"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the project whose pipeline generates few trips."""
    folder = tmp_path_factory.mktemp("runbook")
    copy_project(folder)
    yield folder
    typed(folder, "taxiops emulator stop\n")


@pytest.mark.parametrize("block", blocks(RUNBOOK), ids=lambda block: f"block-{block.number}")
def test_a_block_of_the_runbook_does_what_it_says(block: Block, project: Path) -> None:
    done = typed(project, block.lines)
    assert done.returncode == block.exit_code, f"{block.lines}\n{done.stdout}\n{done.stderr}"


def test_the_six_scenarios_are_there_with_what_to_look_at_and_to_clean_up() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    scenarios = re.split(r"^## (?=\d\. )", text, flags=re.MULTILINE)[1:]
    assert len(scenarios) == 6
    for scenario in scenarios:
        assert "```sh" in scenario
        assert "**Look at**" in scenario
