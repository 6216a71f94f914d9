"""Where GitHub's API is and with which token, from the environment; sends nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from taxiops.errors import NotAuthorised, UsageError
from taxiops.github.names import check_repository

PUBLIC = "https://api.github.com"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# What can stand in a header; anything else and http.client would show the token in its error.
TOKEN = re.compile(r"[!-~]{1,4096}")


@dataclass(frozen=True)
class Address:
    """base: URL without a slash at its end. token never appears in a repr."""

    base: str
    repository: str
    token: str = field(repr=False)

    @property
    def is_loopback(self) -> bool:
        return urlsplit(self.base).hostname in LOOPBACK

    def covers(self, url: str) -> bool:
        """Whether the URL lies on this API, so that the token may be sent there."""
        ours, theirs = urlsplit(self.base), urlsplit(url)
        try:
            same = (ours.scheme, ours.hostname, port_of(ours.port, ours.scheme)) == (
                theirs.scheme,
                theirs.hostname,
                port_of(theirs.port, theirs.scheme),
            )
        except ValueError:
            return False
        has_user = theirs.username is not None or theirs.password is not None
        return same and not has_user and f"{theirs.path}/".startswith(f"{ours.path}/")


def port_of(port: int | None, scheme: str) -> int:
    return port or {"https": 443, "http": 80}.get(scheme, 0)


def read_address(environ: Mapping[str, str]) -> Address:
    """From GITHUB_API_URL, GITHUB_REPOSITORY and GITHUB_TOKEN.

    Raises UsageError when one is malformed, NotAuthorised without a token.
    """
    base = check_base(environ.get("GITHUB_API_URL") or PUBLIC)
    repository = check_repository(environ.get("GITHUB_REPOSITORY", ""))
    token = environ.get("GITHUB_TOKEN", "")
    if not token:
        raise NotAuthorised(
            "GITHUB_TOKEN is not set, so GitHub cannot be asked.",
            hint="In a workflow step: env: GITHUB_TOKEN: ${{ github.token }}",
            code="github-token",
        )
    if not TOKEN.fullmatch(token):
        raise UsageError(
            "GITHUB_TOKEN holds characters no token has, such as a line break.",
            hint="Set GITHUB_TOKEN to the token alone.",
            code="github-token",
        )
    return Address(base, repository, token)


def check_base(url: str) -> str:
    """The URL of the API; raises UsageError when the token would travel in the clear."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    clean = not (parts.query or parts.fragment or "@" in parts.netloc) and url.isprintable()
    encrypted = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
    if not (host and clean and encrypted and " " not in url):
        raise UsageError(
            "GITHUB_API_URL must be an https URL without user, query or fragment.",
            why="Plain http is for 127.0.0.1 and localhost only.",
            hint=f"Unset GITHUB_API_URL for {PUBLIC}.",
            code="github-url",
        )
    return url.rstrip("/")
