"""Who may call: the emulator's one service principal, its tokens and its signatures."""

import base64
import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jwt

from taxiops.emulator.tls import write_private

TOKEN_VALID_S = 3600
# What tokens for the control and data planes are made for, beside the emulator's own address.
CONTROL_AUDIENCES = frozenset(
    {
        "https://management.azure.com",
        "https://management.core.windows.net",
        "https://ml.azure.com",
    }
)
STORAGE_AUDIENCES = frozenset({"https://storage.azure.com"})


@dataclass(frozen=True)
class Identity:
    """The tenant, its service principal and the key that signs tokens and SAS. All random."""

    tenant_id: str
    client_id: str
    client_secret: str
    signing_key: str

    @property
    def key(self) -> bytes:
        return base64.b64decode(self.signing_key)


def ensure_identity(path: Path) -> Identity:
    """Read the identity of this state folder, or make it. The file is the owner's only."""
    if path.exists():
        return Identity(**json.loads(path.read_text(encoding="utf-8")))
    identity = Identity(
        tenant_id=str(uuid.uuid4()),
        client_id=str(uuid.uuid4()),
        client_secret=secrets.token_urlsafe(32),
        signing_key=base64.b64encode(secrets.token_bytes(32)).decode(),
    )
    write_private(path, json.dumps(asdict(identity)).encode())
    return identity


def issue_token(identity: Identity, audience: str, issuer: str, now: float) -> str:
    """A token as Entra ID issues them to an application (claims of v1.0 access tokens)."""
    claims = {
        "aud": audience,
        "iss": f"{issuer}/{identity.tenant_id}/",
        "iat": int(now),
        "nbf": int(now) - 5,
        "exp": int(now) + TOKEN_VALID_S,
        "appid": identity.client_id,
        "oid": identity.client_id,
        "sub": identity.client_id,
        "tid": identity.tenant_id,
        "idtyp": "app",
        "ver": "1.0",
    }
    return jwt.encode(claims, identity.key, algorithm="HS256")


def token_claims(identity: Identity, header: str) -> Mapping[str, Any] | None:
    """The claims of an Authorization header's bearer token; None when it is not ours or expired."""
    try:
        return decoded(identity, header)
    except jwt.InvalidTokenError:
        return None


def decoded(identity: Identity, header: str) -> Mapping[str, Any]:
    """The claims of an Authorization header's bearer token. Raises jwt.InvalidTokenError."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise jwt.InvalidTokenError("The header is no bearer token.")
    return jwt.decode(
        token.strip(),
        identity.key,
        algorithms=["HS256"],
        options={"verify_aud": False, "require": ["exp", "aud"]},
    )


def refused_token(identity: Identity, header: str, audiences: Collection[str]) -> tuple[str, str]:
    """(code, message) of why a bearer token does not do, as the resource manager tells it.

    Both are empty for a token that does. audiences: without a trailing slash.
    """
    if not header:
        return "AuthenticationFailed", "The 'Authorization' header is missing."
    try:
        claims = decoded(identity, header)
    except jwt.ExpiredSignatureError:
        return "ExpiredAuthenticationToken", "The access token has expired."
    except jwt.InvalidTokenError:
        return "InvalidAuthenticationToken", "The access token is invalid or not of this tenant."
    given = str(claims["aud"]).rstrip("/").lower()
    if given not in audiences:
        return (
            "InvalidAuthenticationTokenAudience",
            f"The access token was obtained for {given!r}, which is another audience.",
        )
    return "", ""


def signature(key: bytes, *parts: str) -> str:
    """URL-safe HMAC-SHA256 over the parts."""
    digest = hmac.new(key, "\n".join(parts).encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def now_s() -> float:
    return time.time()
