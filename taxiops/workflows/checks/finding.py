"""What checks ask about and what they find; asks nothing itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taxiops.cloud.client import Connection
from taxiops.config import DEV, PROD, Settings
from taxiops.errors import ExitCode, TaxiopsError
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
