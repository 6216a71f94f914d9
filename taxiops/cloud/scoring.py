"""Scoring requests over one kept connection, never retried, each classified by who is to blame."""

import copy
import http.client
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

DEPLOYMENT_HEADER = "azureml-model-deployment"
MODEL_STATUS_HEADER = "ms-azureml-model-error-statuscode"
TIMEOUT_S = 60.0
LARGEST_ANSWER_BYTES = 32 * 1024**2
# A connection left alone for longer may have been closed by the other side.
FRESH_S = 2.0


class Blame(Enum):
    """Whose fault an unsuccessful request is; only MODEL speaks against the candidate."""

    NOBODY = "nobody"
    REQUEST = "request"
    MODEL = "model"
    CAPACITY = "capacity"
    PLATFORM = "platform"


@dataclass(frozen=True)
class Answer:
    """One request's outcome. status 0: no HTTP answer came. document: the JSON object, if any.

    deployment: which one the service says it asked; empty when it does not say.
    """

    status: int
    blame: Blame
    latency_ms: float
    document: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""
    deployment: str = ""

    @property
    def is_good(self) -> bool:
        return self.blame is Blame.NOBODY


def blame_of(status: int, model_status: str) -> Blame:
    """By status, as learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints
    lists them: 424 hides the container's own code in a header, 408 is a model slower than its
    deadline, 429 too many requests; 404 means no deployment has traffic."""
    if status == 200:
        return Blame.NOBODY
    if status == 424:
        is_request = model_status.startswith("4") and model_status not in ("408", "429")
        return Blame.REQUEST if is_request else Blame.MODEL
    if status == 400 or status == 413 or status == 422:
        return Blame.REQUEST
    if status == 408:
        return Blame.MODEL
    if status in (429, 503):
        return Blame.CAPACITY
    return Blame.PLATFORM


class Scorer:
    """A client of one endpoint. Not for several threads at once; use it in a with statement."""

    def __init__(self, uri: str, key: str, ca_file: str = "", timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(uri)
        self._host = parts.netloc
        self._path = parts.path or "/"
        self._key = key
        self._timeout_s = timeout_s
        self._context = ssl.create_default_context(cafile=ca_file or None)
        self._connection: http.client.HTTPSConnection | None = None
        self._used_at = 0.0

    def another(self) -> "Scorer":
        """A client of the same endpoint for another thread."""
        other = copy.copy(self)
        other._connection, other._used_at = None, 0.0
        return other

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def score(self, trips: Sequence[Mapping[str, Any]], slot: str = "") -> Answer:
        """Predictions for trips; `slot` empty: wherever the traffic rules send it."""
        return self.send("POST", self._path, json.dumps({"trips": list(trips)}).encode(), slot)

    def post(self, body: bytes, slot: str = "") -> Answer:
        """The answer to any body, to test what is refused."""
        return self.send("POST", self._path, body, slot)

    def liveness(self, slot: str = "") -> Answer:
        """GET of the scoring route's folder, which is / in Azure: whether the container lives."""
        return self.send("GET", self._path.removesuffix("score"), None, slot)

    def send(self, method: str, path: str, body: bytes | None, slot: str) -> Answer:
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if slot:
            headers[DEPLOYMENT_HEADER] = slot
        begun = time.perf_counter()
        try:
            status, answered, content = self.exchange(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            detail = f"{type(error).__name__}: {error}"
            return Answer(0, Blame.PLATFORM, elapsed_ms(begun), detail=detail)
        latency_ms = elapsed_ms(begun)
        blame = blame_of(status, answered.get(MODEL_STATUS_HEADER, ""))
        document = object_of(content)
        detail = "" if status == 200 else content[:300].decode("utf-8", "replace")
        by = answered.get(DEPLOYMENT_HEADER, "") or str(document.get("deployment", ""))
        return Answer(status, blame, latency_ms, document, detail, by.lower()[:64])

    def exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        if time.monotonic() - self._used_at > FRESH_S:
            self.close()
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                self._host, timeout=self._timeout_s, context=self._context
            )
        self._connection.request(method, path, body, dict(headers))
        response = self._connection.getresponse()
        content = response.read(LARGEST_ANSWER_BYTES)
        self._used_at = time.monotonic()
        if response.will_close:
            self.close()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, content


def elapsed_ms(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000


def object_of(content: bytes) -> dict[str, Any]:
    """The JSON object in the bytes; empty when there is none."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
