"""Single fields of GitHub's answers by type; knows no resource."""

from collections.abc import Mapping
from typing import Any, TypeVar

from taxiops.errors import StepFailed

Kind = TypeVar("Kind", str, int)


def pick(document: Any, kind: type[Kind], *names: str) -> Kind:  # noqa: ANN401 - any JSON
    """The value below the names; raises StepFailed when it is missing or of another type."""
    value = document
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise StepFailed(
            f"GitHub's answer has no {'.'.join(names)}.",
            hint="Check GITHUB_API_URL.",
            code="github-answer",
        )
    return value


def text_or_empty(document: Any, *names: str) -> str:  # noqa: ANN401 - any JSON
    """The text below the names, empty when there is none."""
    value = document
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""
