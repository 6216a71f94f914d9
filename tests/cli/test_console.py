"""What reaches a terminal, a pipe and a locale without UTF-8."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from taxiops.cli.console import Facts, Table, clean, markdown, plain

LONG = "/a/very/long/path/that/no/narrow/terminal/can/show/in/one/line/comparison.json"


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\rb\x08c\x00d\x9be", "abcde"),
        ("abc\u202edef", "abcdef"),
        ("kept\n\ttoo", "kept\n\ttoo"),
        ("https://x/y?sv=1&sig=SECRET%3D&se=2", "https://x/y?sv=1&sig=***&se=2"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
    ],
)
def test_text_from_elsewhere_cannot_steer_the_terminal_or_leak(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown


@pytest.mark.parametrize("line", ["::error::x", "  ::add-mask::x", "one\n::set-output name=a::b"])
def test_a_job_log_cannot_give_orders_to_the_github_runner(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert not any(part.lstrip().startswith("::") for part in clean(line).splitlines())
    assert "##[" not in clean("##[error]x")


def test_without_a_terminal_columns_line_up_and_nothing_is_cut() -> None:
    table = Table(("slot", "version"), (("blue", LONG), ("green", "2")))
    assert plain(table) == f"slot   version\nblue   {LONG}\ngreen  2"


def test_facts_are_one_line_each_even_when_a_value_has_several() -> None:
    assert plain(Facts((("why", "a\nb"), ("where", "c")))) == "why    a b\nwhere  c"


def test_a_cell_cannot_break_out_of_a_markdown_table() -> None:
    text = markdown(Table(("a",), (("x | y\n<img src=x>",),)))
    assert text.splitlines() == ["| a |", "| --- |", "| x \\| y &lt;img src=x> |"]


def on_terminal(arguments: list[str], **variables: str) -> str:
    """Output of the program with a pseudo-terminal as stdout."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", **variables}
    program = str(Path(sys.executable).with_name("taxiops"))
    with subprocess.Popen(
        [program, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ):
        os.close(theirs)
        output = io.BytesIO()
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:
                break
            if not data:
                break
            output.write(data)
    os.close(ours)
    return output.getvalue().decode(errors="strict")


def test_a_terminal_gets_colour_and_a_table() -> None:
    shown = on_terminal(["config", "show"], COLUMNS="100")
    assert "\x1b[" in shown
    assert "┃" in shown


def test_no_color_is_honoured_on_a_terminal() -> None:
    assert "\x1b[3" not in on_terminal(["config", "show"], COLUMNS="100", NO_COLOR="1")


def test_a_dumb_terminal_gets_plain_text() -> None:
    assert "\x1b" not in on_terminal(["config", "show"], TERM="dumb")


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_a_narrow_terminal_loses_nothing(columns: str) -> None:
    shown = on_terminal(["config", "show"], COLUMNS=columns, NO_COLOR="1")
    assert max(len(clean(line)) for line in shown.splitlines()) <= int(columns)
    assert "aml-clus" in shown


def test_in_a_pipe_the_width_and_colour_variables_change_nothing(process) -> None:
    narrow = process("config", "show", COLUMNS="40", FORCE_COLOR="1").stdout
    wide = process("config", "show", COLUMNS="200", NO_COLOR="1").stdout
    assert narrow == wide
    assert "\x1b" not in narrow


def test_a_locale_without_utf_8_gets_readable_output(process, tmp_path: Path) -> None:
    done = process("config", "show", PYTHONIOENCODING="ascii", AML_DEV_WORKSPACE="Zürich")
    assert done.returncode == 0, done.stderr
    assert "Z?rich" in done.stdout


def test_a_closed_pipe_ends_without_a_traceback() -> None:
    program = Path(sys.executable).with_name("taxiops")
    done = subprocess.run(
        ["bash", "-c", f"'{program}' config show --json | true; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
