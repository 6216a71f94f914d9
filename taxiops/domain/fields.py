"""Reading documents with suspicion: every field by its type, every error by the field's path."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

from taxiops.errors import TaxiopsError, UsageError

SCHEMA_VERSION = 1
LONGEST_TEXT = 20_000
SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|\+00:00)"
)


def parse_text(text: str, what: str, error: type[TaxiopsError] = UsageError) -> dict[str, Any]:
    """The JSON object in `text`. `what` names the file in messages.

    Raises `error` when it is cut, no object, names a field twice or holds NaN or an infinity.
    """

    def refuse(why: str) -> NoReturn:
        raise error(
            f"{what}: {why}.",
            hint="Make it again with the command that writes it.",
            code="file-broken",
        )

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            refuse(f"{next(name for name in names if names.count(name) > 1)!r} stands there twice")
        return found

    try:
        document = json.loads(
            text,
            parse_constant=lambda constant: refuse(f"it holds {constant}, which is no JSON number"),
            object_pairs_hook=unique,
        )
    except (ValueError, RecursionError) as problem:
        refuse(f"no complete JSON ({problem})")
    return document if isinstance(document, dict) else refuse("it is no JSON object")


@dataclass(frozen=True)
class Fields:
    """One object of a document. Each method reads one field or raises `error` naming its path.

    what: the file, for messages; path: where the object stands in it, empty for the whole.
    """

    document: Mapping[str, Any]
    what: str
    error: type[TaxiopsError]
    path: str = ""

    def path_of(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def refuse(self, name: str, why: str) -> NoReturn:
        """Raises the error for the field `name`."""
        raise self.error(
            f"{self.what}: {self.path_of(name)}: {why}.",
            hint="Make the file again with the command that writes it.",
            code="field-invalid",
            details={"field": self.path_of(name)},
        )

    def value(self, name: str) -> Any:  # noqa: ANN401 - any JSON
        if name not in self.document:
            self.refuse(name, "is missing")
        return self.document[name]

    def check_version(self) -> None:
        """schema_version must be ours; another major version means other fields."""
        version = self.value("schema_version")
        if isinstance(version, bool) or version != SCHEMA_VERSION:
            self.refuse("schema_version", f"must be {SCHEMA_VERSION}, not {shown(version)}")

    def number(self, name: str, least: float = -math.inf, most: float = math.inf) -> float:
        """A finite number within bounds, inclusive."""
        return self._number(name, self.value(name), least, most)

    def _number(self, name: str, value: object, least: float, most: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(name, f"must be a number, not {shown(value)}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self.refuse(name, "must be a finite number")
        if not least <= number <= most:
            self.refuse(name, f"is {number:g}, but must be {bounds(least, most)}")
        return number

    def whole(self, name: str, least: int = 0, most: float = 2**53) -> int:
        """A whole number within bounds, inclusive."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(name, f"must be a whole number, not {shown(value)}")
        if not least <= value <= most:
            self.refuse(name, f"is {shown(value)}, but must be {bounds(least, most)}")
        return value

    def flag(self, name: str) -> bool:
        value = self.value(name)
        if not isinstance(value, bool):
            self.refuse(name, f"must be true or false, not {shown(value)}")
        return value

    def text(self, name: str, *, may_be_empty: bool = True) -> str:
        return self._text(name, self.value(name), may_be_empty)

    def _text(self, name: str, value: object, may_be_empty: bool) -> str:
        if not isinstance(value, str):
            self.refuse(name, f"must be text, not {shown(value)}")
        if not value and not may_be_empty:
            self.refuse(name, "is empty")
        if len(value) > LONGEST_TEXT:
            self.refuse(name, f"is longer than {LONGEST_TEXT} characters")
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            self.refuse(name, "holds half a character")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str:
        value = self.value(name)
        if not isinstance(value, str) or value not in choices:
            self.refuse(name, f"must be one of {', '.join(choices)}, not {shown(value)}")
        return value

    def sha256(self, name: str) -> str:
        """`sha256:` and 64 hexadecimal digits."""
        value = self.value(name)
        if not isinstance(value, str) or not SHA256.fullmatch(value):
            self.refuse(name, f"must be a sha256: digest, not {shown(value)}")
        return value

    def time(self, name: str) -> str:
        """A moment in UTC, RFC 3339."""
        value = self.value(name)
        if not isinstance(value, str) or not TIME.fullmatch(value) or not is_moment(value):
            self.refuse(
                name, f"must be a time in UTC like 2026-01-31T12:00:00Z, not {shown(value)}"
            )
        return value

    def child(self, name: str) -> "Fields":
        return self._child(name, self.value(name))

    def _child(self, name: str, value: object) -> "Fields":
        if not isinstance(value, Mapping):
            self.refuse(name, f"must be an object, not {shown(value)}")
        for key in value:
            if not isinstance(key, str) or any("\ud800" <= letter <= "\udfff" for letter in key):
                self.refuse(name, f"holds the name {key!r}, which is no text")
        return Fields(value, self.what, self.error, self.path_of(name))

    def children(self, name: str) -> Iterator["Fields"]:
        """The objects of a list."""
        for at, value in enumerate(self.items(name)):
            yield self._child(f"{name}[{at}]", value)

    def items(self, name: str) -> list[Any]:
        value = self.value(name)
        if not isinstance(value, list):
            self.refuse(name, f"must be a list, not {shown(value)}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        found = enumerate(self.items(name))
        return tuple(self._text(f"{name}[{at}]", value, True) for at, value in found)

    def mapping_of_text(self, name: str) -> dict[str, str]:
        child = self.child(name)
        return {key: child.text(key) for key in child.document}


def is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).utcoffset() == timedelta(0)
    except ValueError:
        return False


def bounds(least: float, most: float) -> str:
    if math.isinf(most):
        return f"{least:g} or more"
    return f"{most:g} or less" if math.isinf(least) else f"between {least:g} and {most:g}"


def shown(value: object) -> str:
    """A value in a message: short, on one line, safe to print."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a huge number"
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
