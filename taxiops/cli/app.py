"""The program: its nouns and verbs, and the entry point; no command's code."""

import sys
from typing import Annotated

import typer

from taxiops.cli.funnel import RootGroup, stop_on_terminate

app = typer.Typer(
    name="taxiops",
    cls=RootGroup,
    help="Train, compare, gate, promote and deploy a taxi-fare model on Azure ML or its emulator.",
    epilog="Start here: taxiops demo",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"taxiops {version('taxiops')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line of this process; ends in SystemExit with the contract's code."""
    stop_on_terminate()
    app(args=sys.argv[1:])
