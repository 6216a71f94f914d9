"""`taxiops explain`: what an error's code means and what to do; needs no cloud."""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from taxiops.cli.error_codes import Explanation, explanations
from taxiops.cli.shared import Outcome, Session, command, verb
from taxiops.errors import NotFound

app = verb()


def known_codes(incomplete: str) -> list[str]:
    """For the completion of the shell."""
    return [code for code in explanations() if code.startswith(incomplete)]


Code = Annotated[
    str | None,
    typer.Argument(
        metavar="CODE", help="Such as slot-untested; without one, all.", autocompletion=known_codes
    ),
]


@dataclass(frozen=True)
class Explained:
    """The explanations that were asked for."""

    errors: tuple[Explanation, ...]
    next_command: str = ""

    def document(self) -> Mapping[str, Any]:
        return {
            "schema_version": 1,
            "errors": [asdict(each) for each in self.errors],
            "next_command": self.next_command,
        }


@command(app, "explain", places_itself=True)
def explain(session: Session, code: Code = None) -> Outcome:  # noqa: ARG001 - one shape for all
    """Say what the code of an error means and what to do about it."""
    from taxiops.cli.console import Facts, Table

    known = explanations()
    if code is None:
        rows = tuple((each.code, each.means) for each in known.values())
        return Outcome(Explained(tuple(known.values())), blocks=(Table(("code", "means"), rows),))
    found = known.get(code)
    if found is None:
        close = difflib.get_close_matches(code, known, n=1)
        raise NotFound(
            f"There is no error code {code!r}.",
            hint=f"taxiops explain {close[0] if close else ''}".strip(),
        )
    facts = (("code", found.code), ("means", found.means), ("do", found.do))
    return Outcome(Explained((found,)), blocks=(Facts(facts),))
