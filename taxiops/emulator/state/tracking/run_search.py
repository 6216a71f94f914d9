"""The filters and orders of MLflow's searches; pure.

The grammar: mlflow.org, "Search Runs": clauses joined by AND, each `entity.key operator value`.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
# Entity -> key -> value of one thing that is searched.
Searched = Mapping[str, Mapping[str, Any]]
ENTITIES = {
    "metric": "metrics",
    "metrics": "metrics",
    "param": "params",
    "params": "params",
    "parameter": "params",
    "parameters": "params",
    "tag": "tags",
    "tags": "tags",
    "attribute": "attributes",
    "attributes": "attributes",
    "attr": "attributes",
    "run": "attributes",
}
CLAUSE = re.compile(
    r"""\s*(?:(?P<entity>\w+)\.)?(?P<key>`[^`]+`|"[^"]+"|[\w./-]+)\s*
    (?P<operator>!=|>=|<=|=|>|<|NOT\s+IN|IN|NOT\s+LIKE|I?LIKE)\s*
    (?P<value>'[^']*'|"[^"]*"|\([^)]*\)|[-+\w.]+)\s*""",
    re.IGNORECASE | re.VERBOSE,
)
JOIN = re.compile(r"AND\b", re.IGNORECASE)
QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")


class BadFilter(ValueError):
    """A filter or an order that is not understood; the text shows it."""


@dataclass(frozen=True)
class Clause:
    """One comparison. value: a number, a text or a list of texts."""

    entity: str
    key: str
    operator: str
    value: Any

    def holds(self, searched: Searched) -> bool:
        """Whether it is true of a thing; never of one that has no such value."""
        present = searched.get(self.entity, {}).get(self.key)
        if present is None:
            return False
        if self.operator in COMPARISONS:
            given = float(self.value) if isinstance(present, int | float) else str(self.value)
            return COMPARISONS[self.operator](present, given)
        if "IN" in self.operator.split():
            return (present in self.value) != self.operator.startswith("NOT")
        flags = re.IGNORECASE if self.operator == "ILIKE" else 0
        pattern = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in str(self.value))
        matches = re.fullmatch(pattern, str(present), flags | re.DOTALL) is not None
        return matches != self.operator.startswith("NOT")


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
}


def clauses_of(text: str) -> list[Clause]:
    """Raises BadFilter."""
    clauses: list[Clause] = []
    position = 0
    while position < len(text.rstrip()):
        match = CLAUSE.match(text, position)
        if match is None:
            raise BadFilter(f"Invalid clause(s) in filter string: '{text[position:]}'")
        operator = " ".join(match["operator"].upper().split())
        value = value_of(match["value"], operator)
        clauses.append(Clause(*column_of(match["entity"], match["key"]), operator, value))
        position = match.end()
        if position < len(text.rstrip()):
            joined = JOIN.match(text, position)
            if joined is None:
                raise BadFilter(f"Invalid clause(s) in filter string: '{text[position:]}'")
            position = joined.end()
    return clauses


def column_of(entity: str | None, key: str) -> tuple[str, str]:
    """(entity, key) without quotes; a key by itself is an attribute. Raises BadFilter."""
    plain = key.strip('`"')
    if entity is None:
        return "attributes", plain
    if entity.lower() not in ENTITIES:
        raise BadFilter(f"Invalid entity type '{entity}'. Valid values are {sorted(ENTITIES)}")
    return ENTITIES[entity.lower()], plain


def value_of(text: str, operator: str) -> Any:  # noqa: ANN401  # a number, a text or texts
    if operator.endswith("IN"):
        return [one or other for one, other in QUOTED.findall(text)]
    if text[0] in "'\"":
        return text[1:-1]
    try:
        return float(text)
    except ValueError as error:
        raise BadFilter(f"The value {text!r} must be a number or be quoted.") from error


def ordered(
    found: list[Json], orders: Sequence[str], view: Callable[[Json], Searched]
) -> list[Json]:
    """Sorted by `metrics.rmse DESC` and the like, the first order counting most.

    What has no such value comes last, either way. Raises BadFilter.
    """
    for order in reversed(orders):
        match = re.fullmatch(
            r'\s*(?:(\w+)\.)?(`[^`]+`|"[^"]+"|[\w./-]+)(?:\s+(ASC|DESC))?\s*', order, re.IGNORECASE
        )
        if match is None:
            raise BadFilter(f"Invalid order_by clause '{order}'")
        entity, key = column_of(match[1], match[2])

        def value(each: Json, entity: str = entity, key: str = key) -> Any:  # noqa: ANN401
            return view(each).get(entity, {}).get(key)

        have = [each for each in found if not is_absent(value(each))]
        lack = [each for each in found if is_absent(value(each))]
        have.sort(key=value, reverse=(match[3] or "").upper() == "DESC")
        found = have + lack
    return found


def is_absent(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
