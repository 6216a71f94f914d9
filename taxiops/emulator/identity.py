"""Who may call: the emulator's one service principal, its tokens and its signatures."""

import base64
import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jwt

from taxiops.emulator.tls import write_private

TOKEN_VALID_S = 3600


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
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        return None
    try:
        return jwt.decode(
            token.strip(), identity.key, algorithms=["HS256"], options={"verify_aud": False}
        )
    except jwt.InvalidTokenError:
        return None


def signature(key: bytes, *parts: str) -> str:
    """URL-safe HMAC-SHA256 over the parts."""
    digest = hmac.new(key, "\n".join(parts).encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def now_s() -> float:
    return time.time()
