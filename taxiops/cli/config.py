"""`taxiops config`: shows the effective configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taxiops.cli.shared import Outcome, Session, command, noun

if TYPE_CHECKING:
    from taxiops.config import Settings

app = noun("The configuration: option, then environment variable, then file.")


@dataclass(frozen=True)
class Shown:
    """The configuration as a result."""

    settings: "Settings"
    next_command: str = ""

    def document(self) -> Mapping[str, Any]:
        shown = self.settings.shown()
        return {
            "schema_version": 1,
            "values": {name: {"value": v.value, "origin": v.origin} for name, v in shown.items()},
            "tables": {name: dict(table) for name, table in self.settings.tables.items()},
        }


@command(app, "show", both=True)
def show(session: Session) -> Outcome:
    """Print every value with where it came from, secrets masked."""
    from taxiops.cli.console import Table

    shown = session.settings.shown()
    rows = [(name, value.value or "-", value.origin) for name, value in shown.items()]
    for table, values in session.settings.tables.items():
        rows += [
            (f"{table}.{key}", str(value), "configuration file") for key, value in values.items()
        ]
    return Outcome(Shown(session.settings), blocks=(Table(("key", "value", "from"), tuple(rows)),))
