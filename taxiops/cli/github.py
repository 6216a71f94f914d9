"""What GitHub Actions reads: outputs, step summary, annotations; prints nothing else."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from taxiops.errors import UsageError

# GitHub refuses a step summary above 1 MiB.
SUMMARY_LIMIT_BYTES = 1_000_000


def write_outputs(environ: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Append to the file that GITHUB_OUTPUT names, if it does.

    A random delimiter keeps a value from forging another output.
    Raises UsageError when the file cannot be written.
    """
    if not environ.get("GITHUB_OUTPUT") or not outputs:
        return
    lines = []
    for name, value in outputs.items():
        delimiter = f"end_{secrets.token_hex(16)}"
        multiline = "\n" in value or "\r" in value
        lines.append(
            f"{name}<<{delimiter}\n{value}\n{delimiter}" if multiline else f"{name}={value}"
        )
    append(environ, "GITHUB_OUTPUT", "\n".join(lines) + "\n")


def write_summary(environ: Mapping[str, str], text: str) -> None:
    """Append Markdown to the file that GITHUB_STEP_SUMMARY names, if it does."""
    if not environ.get("GITHUB_STEP_SUMMARY") or not text:
        return
    data = text.encode()
    if len(data) > SUMMARY_LIMIT_BYTES:
        text = data[:SUMMARY_LIMIT_BYTES].decode(errors="ignore") + "\n\n(cut: too long)\n"
    append(environ, "GITHUB_STEP_SUMMARY", text)


def append(environ: Mapping[str, str], variable: str, text: str) -> None:
    path = Path(environ[variable])
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(
            f"{variable}: {path} cannot be written: {error.strerror}",
            hint=f"Unset {variable} or point it to a writable file.",
            code="github-file",
        ) from error


def error_annotation(title: str, message: str) -> str:
    """The `::error` workflow command.

    Escaping as GitHub's toolkit does it (actions/toolkit, packages/core/src/command.ts).
    """
    text = escape(message)
    name = escape(title).replace(":", "%3A").replace(",", "%2C")
    return f"::error title={name}::{text}"


def escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
