"""The only module that knows terminals: streams, colour, width, spinner; decides nothing."""

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType

# Escape sequences first, then every control character that could move a cursor or reorder text.
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
SECRETS = re.compile(r"(?i)(\bsig=|\bbearer\s+|client_secret=)[^&\s\"']+")
# GitHub's runner obeys these wherever they stand in a step's output.
WORKFLOW_COMMAND = re.compile(r"^(\s*):(?=:)", re.MULTILINE)


@dataclass(frozen=True)
class Table:
    """Rows of text under column names."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Facts:
    """Named values, one a line."""

    rows: tuple[tuple[str, str], ...]


Block = str | Table | Facts


def redact(text: str) -> str:
    """`text` without signatures, tokens and secrets that an exception's message may carry."""
    return SECRETS.sub(r"\1***", text)


def clean(text: str) -> str:
    """`text` without what a terminal or a GitHub runner would obey; job logs are hostile."""
    text = redact(CONTROLS.sub("", ESCAPES.sub("", text)))
    if in_github_actions(os.environ):
        text = WORKFLOW_COMMAND.sub(r"\1: ", text).replace("##[", "## [")
    return text


def in_github_actions(environ: Mapping[str, str]) -> bool:
    return environ.get("GITHUB_ACTIONS") == "true"


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def tolerate_encoding(*streams: TextIO) -> None:
    """Let a locale that lacks a character show `?` instead of ending in a traceback."""
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


class Console:
    """Writes results to stdout and everything else to stderr.

    With `json_wanted`, stdout gets exactly one JSON document and all that is for people goes
    to stderr; with `quiet`, only results and errors are written.
    """

    def __init__(self, *, json_wanted: bool = False, quiet: bool = False) -> None:
        self.json_wanted = json_wanted
        self.quiet = quiet
        self.out = sys.stdout
        self.err = sys.stderr
        tolerate_encoding(self.out, self.err)

    @property
    def human(self) -> TextIO:
        """Where results for people go."""
        return self.err if self.json_wanted else self.out

    def document(self, document: Mapping[str, Any]) -> None:
        """The one JSON document of `--json`; NaN never leaves the program."""
        self.out.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
        self.out.flush()

    def note(self, text: str) -> None:
        """A line for people that is neither result nor error."""
        if not self.quiet:
            self.write(self.err, text)

    def place(self, text: str) -> None:
        """The line that names where the command acts; it comes first."""
        if not (self.quiet and self.json_wanted):
            self.show(text, style="bold")

    def show(self, block: Block, style: str = "") -> None:
        """A block of the result, for people; nothing with `--json --quiet`."""
        if self.quiet and self.json_wanted:
            return
        if is_terminal(self.human):
            rich_console(self.human).print(renderable(block, style), highlight=False)
        else:
            self.write(self.human, plain(block))

    def error(self, text: str) -> None:
        """Text of an error, to stderr, even when quiet."""
        if is_terminal(self.err):
            from rich.text import Text

            first, _, rest = clean(text).partition("\n")
            console = rich_console(self.err)
            console.print(Text(first, style="bold red"), soft_wrap=True)
            if rest:
                console.print(Text(rest), soft_wrap=True)
        else:
            self.write(self.err, text)

    def raw_error(self, text: str) -> None:
        """A line for a machine that reads stderr, such as a workflow command."""
        self.err.write(text + "\n")
        self.err.flush()

    def write(self, stream: TextIO, text: str) -> None:
        stream.write(clean(text) + "\n")
        stream.flush()

    @contextlib.contextmanager
    def watching(self) -> Iterator[Callable[[Sequence[Block], Sequence[str]], None]]:
        """Gives a function for each look: its blocks in place on a terminal, else its lines."""
        if not is_terminal(self.human):
            yield lambda _, lines: self.write(self.human, "\n".join(lines)) if lines else None
            return
        with in_place(self.human) as show:
            yield lambda blocks, _: show(blocks)

    @contextlib.contextmanager
    def progress(self, *, plain: bool = False) -> Iterator[Callable[[str], None]]:
        """Gives a function that shows a step: with a spinner on a terminal, else as a line."""
        if plain or self.quiet or not is_terminal(self.err):
            yield self.note
            return
        with spinner(rich_console(self.err)) as step:
            yield step


@contextlib.contextmanager
def in_place(stream: TextIO) -> Iterator[Callable[[Sequence[Block]], None]]:
    """Gives a function that shows blocks where it showed the former ones, on a terminal."""
    from rich.console import Group
    from rich.live import Live

    console = rich_console(stream)
    with Live(console=console, auto_refresh=False, redirect_stdout=False) as live:
        yield lambda blocks: live.update(Group(*map(renderable, blocks)), refresh=True)


@contextlib.contextmanager
def spinner(console: "RichConsole") -> Iterator[Callable[[str], None]]:
    """Shows the running step with its age; steps that are over stay above it."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as live:
        steps: list[str] = []
        task = live.add_task("working", total=None)

        def step(line: str) -> None:
            if steps:
                console.print(Text("  " + steps[-1], style="dim"))
            steps.append(clean(line))
            live.reset(task, description=steps[-1])

        try:
            yield step
        finally:
            if steps:
                console.print(Text("  " + steps[-1], style="dim"))


@contextlib.contextmanager
def libraries_hushed(*, verbose: bool) -> Iterator[None]:
    """Keep what libraries print and log out of ours; with `verbose`, show it on stderr.

    The SDK prints dots and progress bars and logs warnings about itself.
    """
    import logging

    former = logging.root.manager.disable
    with contextlib.ExitStack() as stack:
        sink: TextIO = sys.stderr
        if not verbose:
            logging.disable(logging.WARNING)
            sink = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stderr(sink))
        stack.enter_context(contextlib.redirect_stdout(sink))
        try:
            yield
        finally:
            logging.disable(former)


@contextlib.contextmanager
def stdout_kept_for_results() -> Iterator[None]:
    """Send what child processes write to stdout to stderr instead, so that ours alone is there."""
    stream = sys.__stdout__
    try:
        descriptor = stream.fileno() if stream is sys.stdout and stream is not None else None
    except (OSError, ValueError):
        descriptor = None
    if descriptor is None:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(descriptor)
    os.dup2(2, descriptor)
    try:
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)


def rich_console(stream: TextIO) -> "RichConsole":
    from rich.console import Console as RichConsole

    return RichConsole(file=stream, markup=False, emoji=False, highlight=False)


def renderable(block: Block, style: str = "") -> "RenderableType":
    """The block for a terminal; text is never read as markup."""
    from rich.table import Table as RichTable
    from rich.text import Text

    if isinstance(block, str):
        return Text(clean(block), style=style)
    if isinstance(block, Facts):
        grid = RichTable.grid(padding=(0, 2))
        for name, value in block.rows:
            grid.add_row(Text(clean(name), style="bold"), Text(clean(value), overflow="fold"))
        return grid
    table = RichTable(header_style="bold")
    for column in block.columns:
        table.add_column(clean(column), overflow="fold")
    for row in block.rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    return table


def plain(block: Block) -> str:
    """The block without a terminal: aligned columns, never cut, the same at any width."""
    if isinstance(block, str):
        return block
    if isinstance(block, Facts):
        return aligned([(name, value) for name, value in block.rows])
    return aligned([block.columns, *block.rows])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    rows = [[cell.replace("\n", " ") for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def markdown(block: Block) -> str:
    """The block for a step summary; cell text cannot break the table."""
    if isinstance(block, str):
        return clean(block) + "\n"
    if isinstance(block, Facts):
        block = Table(("", ""), block.rows)
    lines = [markdown_row(block.columns), markdown_row(["---"] * len(block.columns))]
    lines.extend(markdown_row(row) for row in block.rows)
    return "\n".join(lines) + "\n"


def markdown_row(cells: Sequence[str]) -> str:
    escaped = (
        clean(cell)
        .replace("\\", "\\\\")
        .replace("|", "\\|")
        .replace("<", "&lt;")
        .replace("\n", " ")
        for cell in cells
    )
    return "| " + " | ".join(escaped) + " |"
