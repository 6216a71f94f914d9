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
            "tables": {
                name: {key: {"value": v, "origin": o} for key, (v, o) in table.items()}
                for name, table in effective_tables(self.settings).items()
            },
        }


def effective_tables(settings: "Settings") -> dict[str, dict[str, tuple[Any, str]]]:
    """Gate and rollout with defaults filled in: table -> key -> value and where it came from.

    Raises UsageError for an unknown key or a value of the wrong kind.
    """
    from dataclasses import asdict

    from taxiops.domain.policy import parse_policy
    from taxiops.workflows.rollouts.limits import parse_limits

    tables = settings.tables
    values = {
        "gate": parse_policy(tables["gate"]).document(),
        "rollout": asdict(parse_limits(tables["rollout"])),
    }
    return {
        name: {
            key: (value, f"[tool.taxiops.{name}]" if key in tables[name] else "default")
            for key, value in table.items()
        }
        for name, table in values.items()
    }


@command(app, "show", both=True)
def show(session: Session) -> Outcome:
    """Print every value with where it came from, secrets masked."""
    from taxiops.cli.console import Table

    shown = session.settings.shown()
    rows = [(name, value.value or "-", value.origin) for name, value in shown.items()]
    for table, values in effective_tables(session.settings).items():
        rows += [(f"{table}.{key}", str(value), origin) for key, (value, origin) in values.items()]
    return Outcome(Shown(session.settings), blocks=(Table(("key", "value", "from"), tuple(rows)),))
