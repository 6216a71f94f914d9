"""The errors an operator can meet and the exit codes they end in; imports nothing of ours."""

from collections.abc import Mapping
from enum import IntEnum


class ExitCode(IntEnum):
    """Process exit codes, as the contract with workflows and operators fixes them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    GATE_REFUSED = 3
    NOT_AUTHORISED = 4
    NOT_FOUND = 5
    RESTORED = 6
    RESTORE_FAILED = 7
    STILL_RUNNING = 8
    CONFLICT = 9
    INTERRUPTED = 130


class TaxiopsError(Exception):
    """A question that could not be answered or an act that could not be done.

    what: one sentence saying what is wrong and where (file, key, line).
    why: the cause, when it adds something.
    hint: what to do next, ideally the command to type.
    code: stable kebab-case identifier of the kind of error, for documentation and scripts.
    details: facts for support, such as a request id; never a secret.
    """

    exit_code: ExitCode = ExitCode.FAILED
    default_code: str = "failed"

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        hint: str = "",
        code: str = "",
        details: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint
        self.code = code or self.default_code
        self.details = dict(details or {})


class StepFailed(TaxiopsError):
    """Something was attempted and failed; nothing needs restoring."""

    exit_code = ExitCode.FAILED
    default_code = "step-failed"


class UsageError(TaxiopsError):
    """Bad input or configuration: an option, a file, a key."""

    exit_code = ExitCode.USAGE
    default_code = "usage"


class EvidenceError(TaxiopsError):
    """Evidence is missing or inconsistent, so the gate cannot be passed on it."""

    exit_code = ExitCode.GATE_REFUSED
    default_code = "evidence"


class NotAuthorised(TaxiopsError):
    """Not authenticated, or the identity lacks a role."""

    exit_code = ExitCode.NOT_AUTHORISED
    default_code = "not-authorised"


class NotFound(TaxiopsError):
    """A named job, model, endpoint, deployment or file does not exist."""

    exit_code = ExitCode.NOT_FOUND
    default_code = "not-found"


class Restored(TaxiopsError):
    """The act failed and the prior state was put back and verified."""

    exit_code = ExitCode.RESTORED
    default_code = "restored"


class RestoreFailed(TaxiopsError):
    """The act failed and so did putting the prior state back: a person is needed now."""

    exit_code = ExitCode.RESTORE_FAILED
    default_code = "restore-failed"


class StillRunning(TaxiopsError):
    """The service has not finished; the hint is the command that resumes."""

    exit_code = ExitCode.STILL_RUNNING
    default_code = "still-running"


class Conflict(TaxiopsError):
    """Somebody else holds the lease, or the state changed under us."""

    exit_code = ExitCode.CONFLICT
    default_code = "conflict"


class Interrupted(TaxiopsError):
    """The operator stopped us; the state is saved."""

    exit_code = ExitCode.INTERRUPTED
    default_code = "interrupted"
