"""A client of GitHub's REST API over urllib: paging, retries, redirects; knows no resource.

Protocol: docs.github.com/rest (best practices, pagination with the Link header, rate limits).
"""

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPMessage
from importlib.metadata import version
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import (
    HTTPRedirectHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from taxiops.errors import StepFailed, TaxiopsError
from taxiops.github.address import Address
from taxiops.github.failures import message_of, refusal

TIMEOUT_S = 30.0
# Waits between tries; after the last, the failure is told.
PAUSES_S = (1.0, 3.0, 9.0)
LONGEST_WAIT_S = 60.0
LARGEST_BYTES = 32 * 1024**2
MOST_PAGES = 100
PAGE_SIZE = 100
NEXT = re.compile(r"<([^<>]+)>[^,<]*;\s*rel=\"?next\"?")


@dataclass(frozen=True)
class Answer:
    """One answer. document: its JSON, None when it has none."""

    status: int
    document: Any
    headers: Mapping[str, str]


class SameOrigin(HTTPRedirectHandler):
    """Follows a redirect of a read within the API only: elsewhere the token must not go."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> Request | None:
        """The new request, or None, which lets the redirect itself be the answer."""
        if req.get_method() != "GET" or not self.address.covers(newurl):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Client:
    """Requests to one repository. permission: what its writes need, for messages."""

    def __init__(self, address: Address, permission: str) -> None:
        self.address = address
        self.permission = permission
        # Through a proxy, plain http to this machine would leave it, with the token.
        proxies = [ProxyHandler({})] if address.is_loopback else []
        self.opener: OpenerDirector = build_opener(SameOrigin(address), *proxies)

    def in_repository(self, path: str) -> str:
        """The URL of a path below the repository."""
        return f"{self.address.base}/repos/{self.address.repository}/{path}"

    def get(
        self,
        path: str,
        doing: str,
        *,
        query: Mapping[str, str] | None = None,
        allowed: Sequence[int] = (),
    ) -> Answer:
        """Read a path below the repository; raises TaxiopsError unless 2xx or allowed."""
        return self.read(self.in_repository(path), doing, query=query, allowed=allowed)

    def read(
        self,
        url: str,
        doing: str,
        *,
        query: Mapping[str, str] | None = None,
        allowed: Sequence[int] = (),
    ) -> Answer:
        """Read a URL of the API; raises TaxiopsError unless 2xx or allowed."""
        full = f"{url}?{urlencode(query)}" if query else url
        return self.checked(self.send("GET", full, None, doing, repeatable=True), doing, allowed)

    def write(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any],
        doing: str,
        *,
        allowed: Sequence[int] = (),
    ) -> Answer:
        """Send a body; raises TaxiopsError unless 2xx or allowed.

        A PATCH sets the same once more, so it is tried again; a POST only when GitHub says that
        it did not even look at it.
        """
        url = self.in_repository(path)
        answer = self.send(method, url, body, doing, repeatable=method == "PATCH")
        return self.checked(answer, doing, allowed)

    def pages(self, path: str, doing: str, **query: str) -> Iterator[dict[str, Any]]:
        """Every item of a list, page after page."""
        url = f"{self.in_repository(path)}?{urlencode({**query, 'per_page': str(PAGE_SIZE)})}"
        for _ in range(MOST_PAGES):
            answer = self.read(url, doing)
            if not isinstance(answer.document, list):
                raise unreadable(doing, "no list")
            yield from (item for item in answer.document if isinstance(item, dict))
            following = NEXT.search(answer.headers.get("link", ""))
            if following is None:
                return
            url = following[1]
            if not self.address.covers(url):
                raise unreadable(doing, "a next page on another server")
        raise StepFailed(f"{doing}: more than {MOST_PAGES * PAGE_SIZE} items.", code="github-limit")

    def checked(self, answer: Answer, doing: str, allowed: Sequence[int]) -> Answer:
        if 200 <= answer.status < 300:
            return answer
        if is_rate_limited(answer):
            raise StepFailed(
                f"{doing}: GitHub's rate limit is reached.",
                why=self.message(answer),
                hint="Wait a while, then run the command again.",
                code="github-rate-limit",
            )
        if answer.status in allowed:
            return answer
        if 300 <= answer.status < 400:
            raise StepFailed(
                f"{doing}: GitHub redirects to another place, which is not followed.",
                hint="If the repository was renamed, set GITHUB_REPOSITORY to its new name.",
                code="github-redirect",
            )
        raise self.refusal(answer, doing)

    def message(self, answer: Answer) -> str:
        """GitHub's words, without the token should it repeat it."""
        return self.without_token(message_of(answer.document))

    def refusal(self, answer: Answer, doing: str) -> TaxiopsError:
        """The error that the answer means."""
        return refusal(answer.status, self.message(answer), doing, self.permission)

    def send(
        self, method: str, url: str, body: Mapping[str, Any] | None, doing: str, *, repeatable: bool
    ) -> Answer:
        """The last answer of a few tries; raises StepFailed when there was none."""
        pauses = iter(PAUSES_S)
        while True:
            pause = next(pauses, None)
            try:
                answer = self.exchange(method, url, body, doing)
            except (OSError, http.client.HTTPException) as error:
                if pause is None or not repeatable or is_final(error):
                    raise self.unreachable(error, doing) from None
            else:
                wait_s = wait_before_next(answer, pause, repeatable=repeatable)
                if wait_s is None:
                    return answer
                pause = wait_s
            time.sleep(pause)

    def exchange(self, method: str, url: str, body: Mapping[str, Any] | None, doing: str) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self.address.token}",
            "User-Agent": f"taxiops/{version('taxiops')}",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = Request(url, data, headers, method=method)
        try:
            with self.opener.open(request, timeout=TIMEOUT_S) as response:
                return answer_of(response.status, response.headers, response, doing)
        except HTTPError as error:
            with error:
                return answer_of(error.code, error.headers, error, doing)

    def unreachable(self, error: Exception, doing: str) -> StepFailed:
        reason = error.reason if isinstance(error, URLError) else error
        why = self.without_token(f"{type(reason).__name__}: {reason}")
        return StepFailed(
            f"{doing}: no answer from {self.address.base}.",
            why=why,
            hint="Check the network and GITHUB_API_URL, then run the command again: "
            "it looks first for what is done already.",
            code="github-unreachable",
        )

    def without_token(self, text: str) -> str:
        return text.replace(self.address.token, "***")


def answer_of(status: int, headers: Message, body: Any, doing: str) -> Answer:  # noqa: ANN401 - urllib's responses
    """Reads the body; only an answer of success must be JSON."""
    data = body.read(LARGEST_BYTES + 1)
    document = None
    if len(data) > LARGEST_BYTES:
        raise unreadable(doing, "more than can be read")
    try:
        document = json.loads(data) if data.strip() else None
    except (ValueError, RecursionError):
        if 200 <= status < 300:
            raise unreadable(doing, "no JSON") from None
    return Answer(status, document, {name.lower(): value for name, value in headers.items()})


def unreadable(doing: str, what: str) -> StepFailed:
    return StepFailed(
        f"{doing}: GitHub's answer holds {what}.",
        hint="Check GITHUB_API_URL.",
        code="github-answer",
    )


def is_final(error: Exception) -> bool:
    """Whether trying again is useless: nobody listens there, or the certificate is wrong."""
    reason = error.reason if isinstance(error, URLError) else error
    certificate = type(reason).__name__ == "SSLCertVerificationError"
    unknown = isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME
    return isinstance(reason, ConnectionRefusedError) or certificate or unknown


def is_rate_limited(answer: Answer) -> bool:
    """A 429, or a 403 with which GitHub means the same."""
    if answer.status == 429:
        return True
    spent = answer.headers.get("x-ratelimit-remaining") == "0"
    told = "retry-after" in answer.headers or "rate limit" in message_of(answer.document).lower()
    return answer.status == 403 and (spent or told)


def wait_before_next(answer: Answer, pause: float | None, *, repeatable: bool) -> float | None:
    """Seconds until another try, or None when the answer stands.

    What a rate limit turned away was not looked at, so that even a POST may be sent again.
    """
    limited = is_rate_limited(answer)
    if pause is None or not (limited or (repeatable and answer.status >= 500)):
        return None
    asked = answer.headers.get("retry-after", "")
    if asked.isascii() and asked.isdigit():
        return float(asked) if float(asked) <= LONGEST_WAIT_S else None
    reset = answer.headers.get("x-ratelimit-reset", "")
    if limited and answer.headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
        left = max(float(reset) - time.time(), 0.0) + 1
        return left if left <= LONGEST_WAIT_S else None
    return pause
