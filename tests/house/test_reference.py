"""The generated reference is fresh and complete, and so is what pages say about commands."""

import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import pytest
from typer.main import get_command

from taxiops.cli.app import app
from taxiops.cli.error_codes import codes_in_source, explanations
from taxiops.cli.nouns import NOUNS
from taxiops.cli.reference import OTHER_VARIABLES, leaves, pages
from taxiops.config import KEYS
from taxiops.errors import ExitCode

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_generated_page_is_fresh(name: str) -> None:
    written = (ROOT / "docs/reference" / name).read_text(encoding="utf-8")
    assert written == pages()[name], "run `make docs`"


def test_every_option_of_every_command_is_in_the_reference() -> None:
    text = pages()["cli.md"]
    for command, context in leaves():
        assert f"## {context.command_path}\n" in text
        for parameter in command.get_params(context):
            for spelling in parameter.opts if parameter.name != "help" else ():
                assert spelling in text or parameter.param_type_name == "argument"


def test_every_command_and_option_says_what_it_is_for() -> None:
    for command, context in leaves():
        assert command.help, context.command_path
        for parameter in command.get_params(context):
            assert getattr(parameter, "help", ""), f"{context.command_path} {parameter.name}"


def test_every_exit_code_is_in_the_reference() -> None:
    text = pages()["exit-codes.md"]
    assert all(f"| {int(code)} |" in text for code in ExitCode)


def test_every_error_code_in_the_source_has_its_page_and_every_page_its_error() -> None:
    source, page = codes_in_source(), pages()["errors.md"]
    documented = {code for code in explanations() if f"## {code}\n" in page}
    missing = [code for code in source if not any(fnmatch(each, code) for each in documented)]
    assert not missing, f"say in taxiops/cli/errors.toml what they mean, then make docs: {missing}"
    stale = [each for each in documented if not any(fnmatch(each, code) for code in source)]
    assert not stale, f"nothing raises these any more: {stale}"
    assert {"usage", "lease-held", "azure-forbidden", "config-invalid"} <= set(source)


def test_every_variable_the_program_reads_is_in_the_reference() -> None:
    known = {key.variable for key in KEYS} | set(OTHER_VARIABLES)
    read = set()
    for path in (ROOT / "taxiops/cli").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        read |= set(re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"", text))
    assert read <= known


def test_the_list_of_commands_matches_the_modules() -> None:
    root = get_command(app)
    assert [command.name for command in root.commands.values()] == list(NOUNS)


def commands_on(page: Path) -> list[str]:
    """Command lines in the fenced blocks and code spans of a page."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:sh|console|bash)?\n(.*?)```", text, re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(taxiops [^`]+)`", text)
    return [line for line in lines if line.startswith("taxiops ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_on_a_page_exists_with_its_options(page: Path) -> None:
    known = {
        context.command_path: {
            spelling
            for parameter in command.get_params(context)
            for spelling in (*parameter.opts, *parameter.secondary_opts)
        }
        for command, context in leaves()
    }
    groups = {path.rpartition(" ")[0] for path in known} - {"taxiops"}
    for line in commands_on(page):
        words = shlex.split(line, comments=True)
        words = words[: words.index("--")] if "--" in words else words
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        path = next((" ".join(words[:n]) for n in (3, 2) if " ".join(words[:n]) in known), "")
        if path:
            assert options <= known[path], f"{line}: {options - known[path]}"
            continue
        general = words[1].isupper() or words[1].startswith("-")
        assert general or " ".join(words[:2]) in groups, f"no such command: {line}"
