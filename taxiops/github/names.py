"""Which names may reach GitHub's API: repositories, commits, refs, environments; asks nobody."""

import re

from taxiops.errors import UsageError

REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
COMMIT = re.compile(r"[0-9a-f]{40}")
# What `git check-ref-format` allows, without the characters that a URL or a shell would read.
REF = re.compile(r"(?!.*(?:\.\.|//|/\.|\.lock(?:/|$)))[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}(?<![./])")
ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/-]{0,254}")
MARKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._]*(?:-[A-Za-z0-9._]+)*")
LONGEST_MARKER = 64
LONGEST_TITLE = 200


def check_repository(text: str) -> str:
    """`owner/name`; raises UsageError."""
    if not REPOSITORY.fullmatch(text):
        raise UsageError(
            f"GITHUB_REPOSITORY is {text[:80]!r}, which is no owner/name.",
            hint="Set GITHUB_REPOSITORY to owner/name, as a GitHub runner does.",
            code="github-repository",
        )
    return text


def check_commit(text: str, option: str) -> str:
    """The 40 hexadecimal digits of a commit; raises UsageError naming the option."""
    return check(COMMIT, text, option, "the 40 hexadecimal digits of a commit")


def check_ref(text: str, option: str) -> str:
    """The short name of a branch or tag; raises UsageError naming the option."""
    if text.startswith("refs/"):
        raise wrong(text, option, "a name without refs/heads/ or refs/tags/")
    return check(REF, text, option, "the name of a branch or tag")


def check_environment(text: str) -> str:
    """The name of a deployment environment; raises UsageError."""
    wanted = "a name of letters, digits, spaces and . _ / -"
    return check(ENVIRONMENT, text, "--environment", wanted)


def check_marker(text: str) -> str:
    """A name that fits into an HTML comment; raises UsageError."""
    wanted = f"a name of at most {LONGEST_MARKER} letters, digits and . _ -"
    return check(MARKER, text[: LONGEST_MARKER + 1], "--marker", wanted, LONGEST_MARKER)


def check_title(text: str) -> str:
    """One line of printable text; raises UsageError."""
    if not text.strip() or not text.isprintable() or len(text) > LONGEST_TITLE:
        wanted = f"one line of at most {LONGEST_TITLE} printable characters"
        raise wrong(text, "--title", wanted)
    return text.strip()


def check(pattern: re.Pattern[str], text: str, option: str, wanted: str, longest: int = 256) -> str:
    if len(text) > longest or not pattern.fullmatch(text):
        raise wrong(text, option, wanted)
    return text


def wrong(text: str, option: str, wanted: str) -> UsageError:
    return UsageError(
        f"{option} is {text[:80]!r}, but must be {wanted}.",
        hint=f"Correct {option}.",
        code="name-invalid",
    )
