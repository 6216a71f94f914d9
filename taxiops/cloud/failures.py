"""Azure's exceptions as ours: every class of azure.core and azure.ai.ml has its place here."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from taxiops.errors import (
    Conflict,
    NotAuthorised,
    NotFound,
    StepFailed,
    TaxiopsError,
    UsageError,
)

SECRETS = re.compile(r"(?i)(\bsig=|\bbearer\s+|client_secret=|\bkey=)[^&\s\"']+")
LONGEST_MESSAGE = 600


@dataclass(frozen=True)
class Kind:
    """What an exception class means to an operator."""

    error: type[TaxiopsError]
    code: str
    hint: str = ""


UNREACHABLE = Kind(StepFailed, "azure-unreachable", "Check the network, then run it again.")
GARBLED = Kind(StepFailed, "azure-garbled-answer", "Run it again.")
REFUSED = Kind(StepFailed, "azure-refused")
INVALID = Kind(UsageError, "azure-invalid-input")
NO_PLACE = Kind(NotFound, "azure-not-found", "taxiops doctor")
LOCAL_DOCKER = Kind(StepFailed, "azure-local-docker")
LOGIN = Kind(
    NotAuthorised,
    "azure-not-authenticated",
    "az login, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET; taxiops doctor",
)

# By class name; a subclass that has no entry has its nearest ancestor's.
KINDS = {
    # azure.core
    "AzureError": REFUSED,
    "ServiceRequestError": UNREACHABLE,
    "ServiceRequestTimeoutError": UNREACHABLE,
    "ServiceResponseError": UNREACHABLE,
    "ServiceResponseTimeoutError": UNREACHABLE,
    "HttpResponseError": REFUSED,
    "DecodeError": GARBLED,
    "IncompleteReadError": UNREACHABLE,
    "ResourceExistsError": Kind(Conflict, "azure-exists"),
    "ResourceNotFoundError": NO_PLACE,
    "ClientAuthenticationError": LOGIN,
    "ResourceModifiedError": Kind(Conflict, "azure-modified", "Run it again."),
    "ResourceNotModifiedError": Kind(Conflict, "azure-modified", "Run it again."),
    "TooManyRedirectsError": UNREACHABLE,
    "ODataV4Error": REFUSED,
    "StreamConsumedError": GARBLED,
    "StreamClosedError": GARBLED,
    "ResponseNotReadError": GARBLED,
    "SerializationError": INVALID,
    "DeserializationError": GARBLED,
    # azure.identity
    "CredentialUnavailableError": LOGIN,
    "AuthenticationRequiredError": LOGIN,
    # azure.ai.ml
    "MlException": REFUSED,
    "DeploymentException": Kind(StepFailed, "azure-deployment"),
    "ComponentException": Kind(UsageError, "azure-component"),
    "JobException": Kind(StepFailed, "azure-job"),
    "ModelException": Kind(StepFailed, "azure-model"),
    "AssetException": Kind(StepFailed, "azure-asset"),
    "ScheduleException": REFUSED,
    "ValidationException": INVALID,
    "AssetPathException": Kind(Conflict, "azure-asset-path"),
    "EmptyDirectoryError": INVALID,
    "UserErrorException": INVALID,
    "CannotSetAttributeError": INVALID,
    "UnsupportedParameterKindError": INVALID,
    "KeywordError": INVALID,
    "UnexpectedKeywordError": INVALID,
    "UnexpectedAttributeError": INVALID,
    "MissingPositionalArgsError": INVALID,
    "TooManyPositionalArgsError": INVALID,
    "MultipleValueError": INVALID,
    "ParamValueNotExistsError": INVALID,
    "UnsupportedOperationError": INVALID,
    "LocalEndpointNotFoundError": NO_PLACE,
    "LocalEndpointInFailedStateError": LOCAL_DOCKER,
    "DockerEngineNotAvailableError": LOCAL_DOCKER,
    "MultipleLocalDeploymentsFoundError": LOCAL_DOCKER,
    "InvalidLocalEndpointError": LOCAL_DOCKER,
    "LocalEndpointImageBuildError": LOCAL_DOCKER,
    "CloudArtifactsNotSupportedError": LOCAL_DOCKER,
    "RequiredLocalArtifactsNotFoundError": LOCAL_DOCKER,
    "JobParsingError": INVALID,
    "PipelineChildJobError": Kind(UsageError, "azure-child-job"),
    "InvalidVSCodeRequestError": LOCAL_DOCKER,
    "VSCodeCommandNotFound": LOCAL_DOCKER,
    "LocalDeploymentGPUNotAvailable": LOCAL_DOCKER,
}

FORBIDDEN = "azure-forbidden"
BY_STATUS = {
    400: Kind(StepFailed, "azure-bad-request"),
    401: LOGIN,
    403: Kind(NotAuthorised, FORBIDDEN, "taxiops doctor names the missing role."),
    404: NO_PLACE,
    408: UNREACHABLE,
    409: Kind(Conflict, "azure-conflict", "Run it again when the other operation is over."),
    412: Kind(Conflict, "azure-modified", "Run it again."),
    429: Kind(StepFailed, "azure-throttled", "Wait a minute, then run it again."),
}
SERVER_ERROR = Kind(StepFailed, "azure-server-error", "Run it again; see status.azure.com.")

# Error codes of operations that ended in failure (online endpoints troubleshooting,
# learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints).
BY_CODE = {
    "OutOfQuota": Kind(StepFailed, "azure-quota", "Ask for quota or delete an idle slot."),
    "OutOfCapacity": Kind(StepFailed, "azure-capacity", "Try later or another instance type."),
    "OperationCanceled": Kind(Conflict, "azure-canceled", "Run it again in a minute."),
    "Conflict": BY_STATUS[409],
}
TRANSIENT_CODES = frozenset({"azure-conflict", "azure-canceled", "azure-modified"})


def is_azure_error(error: BaseException) -> bool:
    """Whether a package of Azure raised it and the tables above know it."""
    return any(
        base.__name__ in KINDS and base.__module__.startswith("azure.")
        for base in type(error).__mro__
    )


def kind_of(error: BaseException) -> Kind:
    """By the service's error code, else by HTTP status, else by class."""
    code = error_code(error)
    if code in BY_CODE:
        return BY_CODE[code]
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status in BY_STATUS:
        return BY_STATUS[status]
    if isinstance(status, int) and status >= 500:
        return SERVER_ERROR
    names = (base.__name__ for base in type(error).__mro__)
    return next((KINDS[name] for name in names if name in KINDS), REFUSED)


def error_code(error: BaseException) -> str:
    """Azure's own code, such as OutOfQuota; empty when it sent none."""
    code = getattr(getattr(error, "error", None), "code", None)
    if code is None:
        match = re.match(r"\((\w+)\) ", str(error))
        code = match.group(1) if match else ""
    return str(code)


def translate(error: BaseException, doing: str) -> TaxiopsError:
    """Our error for one of Azure's. `doing`: what was attempted, as in "Reading endpoint x"."""
    kind = kind_of(error)
    message = SECRETS.sub(r"\1***", str(error).strip() or type(error).__name__)
    details = {"exception": type(error).__name__}
    if code := error_code(error):
        details["azure_code"] = code
    response = getattr(error, "response", None)
    if response is not None:
        details["status"] = str(getattr(response, "status_code", ""))
        request_id = (getattr(response, "headers", None) or {}).get("x-ms-request-id", "")
        details |= {"request_id": str(request_id)} if request_id else {}
    return kind.error(
        f"{doing} failed.",
        why=" ".join(message.split())[:LONGEST_MESSAGE],
        hint=kind.hint,
        code=kind.code,
        details=details,
    )


@contextlib.contextmanager
def azure_errors(doing: str) -> Iterator[None]:
    """Raise Azure's exceptions from the block as TaxiopsError."""
    try:
        yield
    except Exception as error:
        if isinstance(error, TaxiopsError) or not is_azure_error(error):
            raise
        raise translate(error, doing) from error


def is_missing(error: TaxiopsError) -> bool:
    """Whether Azure said that the thing does not exist."""
    return isinstance(error, NotFound)
