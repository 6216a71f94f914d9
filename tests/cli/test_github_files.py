"""Outputs, step summary and annotations, as GitHub's runner reads them."""

from pathlib import Path

import pytest

from taxiops.cli.github import error_annotation, write_outputs, write_summary
from taxiops.errors import UsageError


def test_outputs_are_appended_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.write_text("before=1\n", encoding="utf-8")
    write_outputs({"GITHUB_OUTPUT": str(path)}, {"passed": "true", "slot": "blue"})
    assert path.read_text(encoding="utf-8") == "before=1\npassed=true\nslot=blue\n"


def test_a_value_cannot_forge_another_output(tmp_path: Path) -> None:
    path = tmp_path / "output"
    write_outputs({"GITHUB_OUTPUT": str(path)}, {"report": "a\npassed=true"})
    first, *_, last = path.read_text(encoding="utf-8").splitlines()
    assert first == f"report<<{last}"
    assert last not in "a\npassed=true"


def test_without_the_variables_nothing_is_written(tmp_path: Path) -> None:
    write_outputs({}, {"a": "b"})
    write_summary({"GITHUB_STEP_SUMMARY": ""}, "text")
    assert not list(tmp_path.iterdir())


def test_a_summary_stays_below_githubs_limit(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    write_summary({"GITHUB_STEP_SUMMARY": str(path)}, "é" * 1_000_000)
    assert path.stat().st_size < 1024 * 1024
    assert path.read_text(encoding="utf-8").endswith("(cut: too long)\n")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="GITHUB_OUTPUT"):
        write_outputs({"GITHUB_OUTPUT": str(tmp_path)}, {"a": "b"})


def test_an_annotation_is_one_line_whatever_the_message_holds() -> None:
    text = error_annotation("a:b,c", "100%\nline ::error::")
    assert text == "::error title=a%3Ab%2Cc::100%25%0Aline ::error::"
