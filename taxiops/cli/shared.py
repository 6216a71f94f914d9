"""Options every command shares, and how a command's outcome becomes output; no command here."""

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, Protocol

import typer
from typer.core import TyperGroup

from taxiops.errors import ExitCode, TaxiopsError

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

    from taxiops.cli.console import Block, Console
    from taxiops.cloud.telemetry import Recording
    from taxiops.config import Settings


class Result(Protocol):
    """What a workflow answers with."""

    @property
    def next_command(self) -> str: ...

    def document(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Outcome:
    """One command's answer, for people, for scripts and for GitHub.

    failure: why the exit code is not 0, in one sentence.
    summary: Markdown for the step summary, when the blocks themselves are not it.
    """

    result: Result
    headline: str = ""
    blocks: tuple["Block", ...] = ()
    exit_code: ExitCode = ExitCode.DONE
    failure: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""


@dataclass(frozen=True)
class Successor:
    """A program that takes this process over, in place of an outcome."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Session:
    """What a command body works with."""

    settings: "Settings"
    progress: Callable[[str], None]
    json_wanted: bool
    watching: "Callable[[], AbstractContextManager[Look]]"


# Shows a look at something that changes: its blocks in place, or only the lines that changed.
Look = Callable[[Sequence["Block"], Sequence[str]], None]
Body = Callable[..., Outcome | Successor]

Cloud = Annotated[
    Literal["local", "azure"] | None,
    typer.Option("--cloud", help="Where to act: the embedded emulator or Azure."),
]
Env = Annotated[
    Literal["dev", "prod"] | None, typer.Option("--env", help="Which environment to act on.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Leave out progress and suggestions.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", help="Show the traceback of an error and its details.")
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Configuration file instead of the pyproject.toml found upward.",
        metavar="FILE",
    ),
]
SHARED: Mapping[str, tuple[Any, object]] = {
    "cloud": (Cloud, None),
    "env": (Env, None),
    "json_wanted": (Json, False),
    "quiet": (Quiet, False),
    "verbose": (Verbose, False),
    "config": (Config, None),
}


class NounGroup(TyperGroup):
    """A group whose help shows the first sentence of each command whole."""

    def format_commands(self, ctx: "Context", formatter: "HelpFormatter") -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            rows = [(name, c.get_short_help_str(limit=200)) for name, c in self.commands.items()]
            formatter.write_dl(rows)


def noun(text: str, cls: type[TyperGroup] = NounGroup) -> typer.Typer:
    """A group of commands."""
    app = typer.Typer(
        cls=cls,
        help=text,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    # A callback keeps Typer from folding a group of one command into that command.
    app.callback()(lambda: None)
    return app


def verb() -> typer.Typer:
    """A command of its own."""
    return typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


@dataclass(frozen=True)
class How:
    """How a command is carried out; see `command`."""

    both: bool
    own_stdout: bool
    place_on_stderr: bool
    plain_progress: bool
    places_itself: bool
    misconfigured: Callable[[TaxiopsError], Outcome] | None


def command(
    group: typer.Typer,
    name: str,
    *,
    both: bool = False,
    own_stdout: bool = False,
    place_on_stderr: bool = False,
    plain_progress: bool = False,
    places_itself: bool = False,
    misconfigured: Callable[[TaxiopsError], Outcome] | None = None,
    **settings: Any,  # noqa: ANN401 - Typer's keywords
) -> Callable[[Body], Body]:
    """Register `body(session, its options...) -> Outcome` with the shared options added.

    both: it acts on Dev and Prod alike, whatever --env says.
    own_stdout: without --json, what the body's child processes print reaches stdout.
    place_on_stderr: stdout belongs to another program from the first byte.
    plain_progress: child processes write to the terminal, where a spinner would be in their way.
    places_itself: the body finds out where it acts and says so.
    misconfigured: the outcome where the settings cannot be read; without it, that error is raised.
    """

    how = How(both, own_stdout, place_on_stderr, plain_progress, places_itself, misconfigured)

    def register(body: Body) -> Body:
        def run(**values: Any) -> None:  # noqa: ANN401 - as typed by the options
            context: typer.Context = values.pop("context")
            shared = {key: values.pop(key) for key in SHARED}
            carry_out(body, values, shared, how, context.command_path)

        own = list(inspect.signature(body).parameters.values())[1:]
        added = [
            inspect.Parameter(
                key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
            )
            for key, (annotation, default) in SHARED.items()
        ]
        named = inspect.Parameter(
            "context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context
        )
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        parameters += [*added, named]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        run.__doc__ = body.__doc__
        group.command(name, **settings)(run)
        return body

    return register


def carry_out(
    body: Body,
    values: Mapping[str, Any],
    shared: Mapping[str, Any],
    how: How,
    name: str,
) -> None:
    """Load the settings, run the body, write the outcome; raises typer.Exit when it is not 0."""
    from contextlib import nullcontext

    from taxiops.cli.console import Console, libraries_hushed, stdout_kept_for_results

    console = Console(json_wanted=shared["json_wanted"], quiet=shared["quiet"])
    try:
        settings = read_settings(shared)
    except TaxiopsError as error:
        if how.misconfigured is None:
            raise
        end_with(console, how.misconfigured(error))
        return
    if not how.places_itself:
        where = place(settings, both=how.both)
        (console.note if how.place_on_stderr else console.place)(where)
    passes = how.own_stdout and not console.json_wanted
    redirected = nullcontext() if passes else stdout_kept_for_results()
    verbose = shared["verbose"]
    hushed = libraries_hushed(verbose=verbose)
    traced = traced_command(name, settings, console.note)
    shown = console.progress(plain=how.plain_progress or verbose)
    with redirected, hushed, traced as recording, shown as progress:
        step = recording.following(progress) if recording else progress
        session = Session(settings, step, shared["json_wanted"], console.watching)
        outcome = body(session, **values)
        if recording and isinstance(outcome, Outcome):
            recording.end(int(outcome.exit_code))
    if isinstance(outcome, Successor):
        become(outcome)
    end_with(console, outcome)


def end_with(console: "Console", outcome: Outcome) -> None:
    """Write the outcome; raises typer.Exit when its exit code is not 0."""
    write_outcome(console, outcome)
    if outcome.exit_code:
        raise typer.Exit(int(outcome.exit_code))


def traced_command(
    name: str, settings: "Settings", tell: Callable[[str], None]
) -> "AbstractContextManager[Recording | None]":
    """The recording of the command, where a connection string asks for one."""
    from contextlib import nullcontext

    if not os.environ.get("APPLICATIONINSIGHTS_CONNECTION_STRING"):
        return nullcontext()
    from taxiops.cloud.telemetry import recorded

    attributes = {
        "cloud": settings.cloud,
        "env": settings.env,
        "run_id": os.environ.get("GITHUB_RUN_ID", ""),
    }
    return recorded(name, attributes, [settings.client_secret], tell)


def become(successor: Successor) -> NoReturn:
    """Replace this process by the program; raises NotFound or StepFailed when it cannot run."""
    import signal

    from taxiops.errors import NotFound, StepFailed

    name = successor.arguments[0]
    # Python ignores SIGPIPE, and what is ignored stays so in the program that follows.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvpe(name, list(successor.arguments), {**os.environ, **successor.environment})
    except FileNotFoundError as error:
        raise NotFound(f"{name}: no such program.", hint="Check the name and PATH.") from error
    except OSError as error:
        raise StepFailed(f"{name}: cannot be run: {error.strerror}") from error


def read_settings(shared: Mapping[str, Any]) -> "Settings":
    """The settings of this process, with the shared options on top."""
    from taxiops.config import load_settings

    options = {"cloud": shared["cloud"], "env": shared["env"]}
    return load_settings(options, os.environ, Path.cwd(), shared["config"])


def place(settings: "Settings", *, both: bool) -> str:
    """Where a command acts, so that nobody takes one place for another."""
    names = ("dev", "prod") if both else (settings.env,)
    workspaces = ", ".join(
        f"{name} workspace {settings.environment(name).workspace}" for name in names
    )
    if settings.is_local:
        return f"local emulator: {workspaces}"
    # Another cloud than the public one, such as the emulator seen from inside its jobs.
    other = os.environ.get("ARM_CLOUD_METADATA_URL", "").partition("/metadata")[0]
    azure = f"Azure at {other}," if other else "Azure"
    return f"{azure} subscription {settings.subscription or '(not set)'}: {workspaces}"


def write_outcome(console: "Console", outcome: Outcome) -> None:
    """The outcome to stdout, and to the files GitHub Actions reads."""
    from taxiops.cli import github
    from taxiops.cli.console import markdown

    style = "bold red" if outcome.exit_code else "bold green"
    if outcome.headline:
        console.show(outcome.headline, style=style)
    for block in outcome.blocks:
        console.show(block)
    if outcome.result.next_command and not console.quiet:
        console.show(f"Next: {typeable(outcome.result.next_command)}")
    github.write_outputs(os.environ, outcome.outputs)
    blocks = (f"### {outcome.headline}" if outcome.headline else "", *outcome.blocks)
    text = outcome.summary or "\n".join(markdown(block) for block in blocks if block)
    github.write_summary(os.environ, text)
    if outcome.failure:
        annotate(console, "taxiops", outcome.failure)
    if console.json_wanted:
        console.document(outcome.result.document())


def typeable(command: str) -> str:
    """The command as it can be typed here: by the path used to call us when that is not on PATH."""
    from shutil import which

    called = Path(sys.argv[0])
    if not command.startswith("taxiops ") or called.name != "taxiops" or which("taxiops"):
        return command
    shown = called.relative_to(Path.cwd()) if called.is_relative_to(Path.cwd()) else called
    return command.replace("taxiops", str(shown), 1)


def annotate(console: "Console", title: str, message: str) -> None:
    """An error annotation, where a GitHub runner reads it."""
    from taxiops.cli import github
    from taxiops.cli.console import in_github_actions

    if in_github_actions(os.environ):
        console.raw_error(github.error_annotation(title, message))
