"""`taxiops doctor`: asks everything the next release depends on, and how to mend what is wrong."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from taxiops.config import Settings
from taxiops.errors import ExitCode, TaxiopsError
from taxiops.workflows.checks.cloud import cloud_checks
from taxiops.workflows.checks.finding import ERROR, UNKNOWN, Check, Finding, Subject, found
from taxiops.workflows.checks.here import LOCAL_CHECKS
from taxiops.workflows.documents import SCHEMA_VERSION, Progress


@dataclass(frozen=True)
class Diagnosis:
    """Every finding under its check's name, in the order of the checks."""

    findings: tuple[tuple[str, Finding], ...]

    @property
    def errors(self) -> list[Finding]:
        return [each for _, each in self.findings if each.severity == ERROR]

    @property
    def exit_code(self) -> ExitCode:
        """0 only when the next release could run; else that of the first error."""
        if self.errors:
            return self.errors[0].exit_code
        is_sure = all(each.severity != UNKNOWN for _, each in self.findings)
        return ExitCode.DONE if is_sure else ExitCode.FAILED

    @property
    def next_command(self) -> str:
        commands = [each.remedy for each in self.errors if each.remedy.startswith("taxiops ")]
        return "taxiops release" if not self.exit_code else (*commands, "taxiops doctor")[0]

    def document(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "can_release": not self.exit_code,
            "findings": [
                {"check": name, **asdict(each), "exit_code": exit_code_of(each)}
                for name, each in self.findings
            ],
            "next_command": self.next_command,
        }


def exit_code_of(finding: Finding) -> int:
    return int(finding.exit_code) if finding.severity == ERROR else 0


def diagnose(settings: Settings, progress: Progress) -> Diagnosis:
    """Every finding; nothing is changed but that the emulator is started where it is needed."""
    subject = Subject(settings, os.environ)
    checks = (*LOCAL_CHECKS, *cloud_checks(subject.environments, is_local=settings.is_local))
    return examined(subject, checks, progress)


def misconfigured(error: TaxiopsError) -> Diagnosis:
    """The diagnosis where not even the settings can be read."""
    return Diagnosis((("configuration", found(error)),))


def examined(subject: Subject, checks: Sequence[Check], progress: Progress) -> Diagnosis:
    """Ask every check whose needs are met; what one raises is its finding and stops no other."""
    findings: list[tuple[str, Finding]] = []
    failed: set[str] = set()
    for check in checks:
        progress(f"checking {check.name}")
        missing = [name for name in check.needs if name in failed]
        if missing:
            answers: Sequence[Finding] = [Finding(UNKNOWN, f"not asked, because of {missing[0]}")]
        else:
            answers = answered(check, subject)
        if any(each.severity in (ERROR, UNKNOWN) for each in answers):
            failed.add(check.name)
        findings += [(check.name, each) for each in answers]
    return Diagnosis(tuple(findings))


def answered(check: Check, subject: Subject) -> Sequence[Finding]:
    try:
        return check.ask(subject)
    except TaxiopsError as error:
        return [found(error)]
    except Exception as error:
        # A check that breaks is a finding too, and the others must still be asked.
        what = f"The check itself broke: {type(error).__name__}: {str(error)[:200]}"
        return [Finding(ERROR, what, "taxiops doctor --verbose", "check-broken")]
