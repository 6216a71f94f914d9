"""`taxiops test`: parse, call the workflows, render."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taxiops.cli.completion import slots
from taxiops.cli.shared import NounGroup, Outcome, Session, command, noun
from taxiops.errors import ExitCode

if TYPE_CHECKING:
    from typer._click import Context


class UnitByDefault(NounGroup):
    """`taxiops test -k name` means `taxiops test unit -k name`."""

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        own = {*self.commands, *ctx.help_option_names}
        if not args or args[0] not in own:
            args = ["unit", *args]
        return super().parse_args(ctx, args)


app = noun("Test the code (unit, the default) or a deployment (endpoint).", UnitByDefault)

PytestArguments = Annotated[
    list[str] | None, typer.Argument(metavar="PYTEST_ARGS", help="Passed on to pytest.")
]
State = Annotated[
    Path | None,
    typer.Option("--state", metavar="FILE", help="deployment_state.json to read and update."),
]
Slot = Annotated[str | None, typer.Option("--slot", help="The slot to test.", autocompletion=slots)]


@command(
    app,
    "unit",
    own_stdout=True,
    plain_progress=True,
    context_settings={"ignore_unknown_options": True},
)
def unit(session: Session, arguments: PytestArguments = None) -> Outcome:
    """Run the fast tests, stopping at the first failure, and check every pipeline YAML."""
    from taxiops.workflows.unit_tests import run_unit_tests

    result = run_unit_tests(session.settings, arguments or [], session.progress)
    return Outcome(
        result,
        headline="Unit tests passed; every pipeline and component is valid.",
        blocks=tuple(f"- {name}" for name in result.validated),
    )


@command(app, "endpoint")
def endpoint(session: Session, state: State = None, slot: Slot = None) -> Outcome:
    """Test a deployment: health, answers, parity with offline predictions, accuracy, latency.

    Exit code 1 when a check fails.
    """
    from taxiops.cli.console import Table
    from taxiops.workflows.endpoint_test import check_endpoint

    result = check_endpoint(session.settings, state, slot, session.progress)
    failed = [check.name for check in result.checks if not check.passed]
    headline = f"Slot {result.slot} of {result.endpoint} " + (
        f"failed its test: {', '.join(failed)}" if failed else "passed its test"
    )
    rows = tuple(
        (check.name, "passed" if check.passed else "FAILED", check.detail)
        for check in result.checks
    )
    return Outcome(
        result,
        headline=headline,
        blocks=(Table(("check", "result", "detail"), rows), f"report: {result.report}"),
        exit_code=ExitCode.DONE if result.passed else ExitCode.FAILED,
        failure="" if result.passed else headline,
    )
