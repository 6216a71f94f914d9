"""Azure's exceptions become ours, every class of them."""

import importlib
import inspect
import pkgutil

import azure.ai.ml
import azure.core.exceptions
import azure.identity
import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError

from taxiops.cloud.failures import KINDS, azure_errors, translate
from taxiops.errors import Conflict, NotAuthorised, NotFound, StepFailed, TaxiopsError, UsageError

# Generated clients and vendored copies raise azure.core's classes; these are their own helpers.
FOREIGN = ("._restclient.", "._vendor.", "._arm_deployments.")


def modules_of_azure_ml() -> list[str]:
    found = pkgutil.walk_packages(azure.ai.ml.__path__, "azure.ai.ml.", onerror=lambda _: None)
    return [each.name for each in found if not any(part in each.name + "." for part in FOREIGN)]


def exceptions_in(name: str) -> list[str]:
    try:
        module = importlib.import_module(name)
    except ImportError:
        return []
    return [
        own.__name__
        for own in vars(module).values()
        if inspect.isclass(own) and issubclass(own, Exception) and own.__module__ == name
    ]


@pytest.mark.parametrize("name", ["azure.core.exceptions", "azure.ai.ml.exceptions"])
def test_every_exception_class_of_azure_has_its_place(name: str) -> None:
    missing = sorted(set(exceptions_in(name)) - set(KINDS))
    assert not missing, f"taxiops.cloud.failures.KINDS lacks {missing}"


def test_every_public_exception_of_azure_identity_has_its_place() -> None:
    classes = [getattr(azure.identity, name) for name in azure.identity.__all__]
    names = {c.__name__ for c in classes if inspect.isclass(c) and issubclass(c, Exception)}
    assert names <= set(KINDS)


def test_no_entry_is_for_a_class_that_is_gone() -> None:
    known = {
        name
        for module in ("azure.core.exceptions", "azure.ai.ml.exceptions", "azure.identity")
        for name in dir(importlib.import_module(module))
    }
    assert set(KINDS) <= known


class Answer:
    """As much of a response as an exception looks at."""

    reason = "because"
    headers = {"x-ms-request-id": "abc-123"}  # noqa: RUF012 - read only
    content_type = "application/json"

    def __init__(self, status: int, code: str = "SomeCode") -> None:
        self.status_code = status
        self.code = code

    def text(self, encoding: str | None = None) -> str:
        return f'{{"error": {{"code": "{self.code}", "message": "sig=topsecret&x=1 is wrong"}}}}'

    def body(self) -> bytes:
        return self.text().encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, StepFailed),
        (401, NotAuthorised),
        (403, NotAuthorised),
        (404, NotFound),
        (409, Conflict),
        (412, Conflict),
        (429, StepFailed),
        (500, StepFailed),
        (503, StepFailed),
    ],
)
def test_an_http_error_is_told_by_its_status(status: int, kind: type[TaxiopsError]) -> None:
    ours = translate(HttpResponseError(response=Answer(status)), "Reading x")
    assert type(ours) is kind
    assert ours.details["status"] == str(status)
    assert ours.details["request_id"] == "abc-123"


def test_what_the_service_calls_the_failure_beats_its_status() -> None:
    ours = translate(HttpResponseError(response=Answer(400, "OutOfQuota")), "Provisioning")
    assert ours.code == "azure-quota"


def test_a_signature_in_a_message_is_not_repeated() -> None:
    ours = translate(HttpResponseError(response=Answer(400)), "Reading x")
    assert "topsecret" not in ours.why + ours.what


def test_a_lost_connection_is_no_usage_error() -> None:
    with pytest.raises(StepFailed) as caught, azure_errors("Reading x"):
        raise ServiceRequestError("connection refused")
    assert caught.value.code == "azure-unreachable"


def test_errors_that_are_not_azures_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), azure_errors("Reading x"):
        _ = 1 / 0
    with pytest.raises(UsageError, match="ours"), azure_errors("Reading x"):
        raise UsageError("ours")
