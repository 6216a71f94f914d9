"""GitHub's refusals as TaxiopsError; never with the token, even when GitHub repeats it."""

from collections.abc import Mapping
from typing import Any

from taxiops.errors import Conflict, NotAuthorised, NotFound, StepFailed, TaxiopsError

LONGEST_MESSAGE = 400
# How rulesets and branch protection say no; the status differs by route (403, 409 or 422).
RULES = ("rule violation", "protected branch", "protected ref", "required status check")


def message_of(document: object) -> str:
    """GitHub's own words: `message`, and what it says about single fields."""
    if not isinstance(document, Mapping):
        return ""
    parts = [str(document.get("message") or "")]
    errors = document.get("errors")
    for error in errors if isinstance(errors, list) else []:
        parts.append(words_of(error))
    return " ".join(" ".join(part.split()) for part in parts if part)[:LONGEST_MESSAGE]


def words_of(error: Any) -> str:  # noqa: ANN401 - any JSON
    if not isinstance(error, Mapping):
        return str(error)
    names = ("resource", "field", "code", "message")
    return " ".join(str(error[name]) for name in names if error.get(name))


def is_rule_violation(message: str) -> bool:
    return any(rule in message.lower() for rule in RULES)


def refusal(status: int, message: str, doing: str, permission: str) -> TaxiopsError:
    """What an answer of this status means.

    doing: what was attempted, as the beginning of a sentence. permission: what it needs, as in a
    job's `permissions`.
    """
    details = {"status": str(status)}
    what = f"{doing}: GitHub answered {status}."
    if status == 401:
        return NotAuthorised(
            f"{doing}: GitHub does not accept the token.",
            why=message,
            hint="Set GITHUB_TOKEN to a token that is valid now.",
            code="github-token",
            details=details,
        )
    if status == 403:
        return NotAuthorised(
            f"{doing}: the token may not do this.",
            why=message,
            hint=f"Give the job the permission `{permission}`, or use a token that has it.",
            code="github-forbidden",
            details=details,
        )
    if status == 404:
        return NotFound(
            f"{doing}: GitHub does not find it, or the token may not see it.",
            why=message,
            hint=f"Check the names and GITHUB_REPOSITORY; the token needs `{permission}`.",
            code="github-not-found",
            details=details,
        )
    if status == 409:
        return Conflict(
            what,
            why=message,
            hint="Run the command again.",
            code="github-conflict",
            details=details,
        )
    hint = "" if status < 500 else "Run the command again; githubstatus.com tells about outages."
    return StepFailed(what, why=message, hint=hint, code="github-refused", details=details)
