"""`taxiops doctor`: asks everything the next release depends on, and how to mend what is wrong."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from taxiops.cloud.client import Connection
from taxiops.config import DEV, PROD, Settings
from taxiops.errors import ExitCode, TaxiopsError
from taxiops.workflows.documents import SCHEMA_VERSION, Progress
from taxiops.workflows.rollouts.rollout import connect_to

OK, WARNING, ERROR, UNKNOWN = "ok", "warning", "error", "unknown"
SEVERITIES = (OK, WARNING, ERROR, UNKNOWN)


@dataclass(frozen=True)
class Finding:
    """What one check found. An error is what the next release would fail on.

    unknown: could not be asked, because of another finding. remedy: the command to type, or what
    to do. exit_code: what the release would end with.
    """

    severity: str
    what: str
    remedy: str = ""
    code: str = ""
    exit_code: ExitCode = ExitCode.FAILED


def fine(what: str) -> Finding:
    return Finding(OK, what)


def found(error: TaxiopsError, remedy: str = "") -> Finding:
    """The finding that an error is."""
    what = f"{error.what} {error.why}".strip()
    return Finding(ERROR, what, remedy or error.hint, error.code, error.exit_code)


@dataclass
class Subject:
    """What is diagnosed. Answers that several checks need are asked for once, errors too."""

    settings: Settings
    environ: Mapping[str, str]
    answers: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def environments(self) -> tuple[str, ...]:
        """Both, unless one was named."""
        named = self.settings.values["env"].origin != "default"
        return (self.settings.env,) if named else (DEV, PROD)

    def connection(self, env: str) -> Connection:
        answer: Connection = self.once("connection", env, lambda: connect_to(self.settings, env))
        return answer

    def once(self, what: str, env: str, ask: Callable[[], Any]) -> Any:  # noqa: ANN401
        """The answer; an error that was raised is raised again."""
        if (what, env) not in self.answers:
            try:
                self.answers[what, env] = ask()
            except TaxiopsError as error:
                self.answers[what, env] = error
        answer = self.answers[what, env]
        if isinstance(answer, TaxiopsError):
            raise answer
        return answer


@dataclass(frozen=True)
class Check:
    """One question. needs: names of checks without whose success it cannot be asked."""

    name: str
    ask: Callable[[Subject], Sequence[Finding]]
    needs: tuple[str, ...] = ()


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
    from taxiops.workflows.checks.cloud import cloud_checks
    from taxiops.workflows.checks.here import LOCAL_CHECKS

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
