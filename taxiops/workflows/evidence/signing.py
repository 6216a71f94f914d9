"""Ed25519 signatures over statements, with keys from the environment; never shows a key."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taxiops.domain.attestations import (
    PAYLOAD_TYPE,
    Envelope,
    no_envelope,
    parse_envelope,
    payload_of,
    pre_authentication_encoding,
    statement_of,
)
from taxiops.domain.evidence import digest_of_bytes
from taxiops.errors import UsageError
from taxiops.workflows.documents import read_text, write_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

SIGNING, VERIFYING = "TAXIOPS_SIGNING_KEY", "TAXIOPS_VERIFYING_KEY"
PEM = "-----BEGIN"


def write_bundle(path: Path, statements: Sequence[Mapping[str, Any]], signing_key: str) -> bool:
    """One JSON line a statement, each in a signed envelope when there is a key; whether so.

    Raises UsageError for a key that is none, or a file that cannot be written.
    """
    key = private_key(signing_key) if signing_key else None
    lines = [line_of(payload_of(each), key) for each in statements]
    write_text(path, "".join(f"{line}\n" for line in lines))
    return key is not None


def line_of(payload: bytes, key: "Ed25519PrivateKey | None") -> str:
    if key is None:
        return payload.decode()
    signature = key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    envelope = Envelope(payload, PAYLOAD_TYPE, (signature,))
    return json.dumps(envelope.document(key_id(key.public_key())), separators=(",", ":"))


def read_bundle(path: Path, verifying_key: str) -> list[Mapping[str, Any]]:
    """The statements of a bundle, every line signed by the key.

    Raises NotFound, UsageError for a key that is none, EvidenceError for a line that is not signed
    by it.
    """
    key = public_key(verifying_key)
    lines = read_text(path, "export", "taxiops trace --export FILE").splitlines()
    found = [verified(line, key) for line in lines if line.strip()]
    if not found:
        raise no_envelope("the file is empty")
    return found


def verified(line: str, key: "Ed25519PublicKey") -> Mapping[str, Any]:
    """The statement in a line that the key signed; key ids in it are not looked at."""
    from cryptography.exceptions import InvalidSignature

    envelope = parse_envelope(line)
    signed = pre_authentication_encoding(envelope.payload_type, envelope.payload)
    for signature in envelope.signatures:
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            continue
        return statement_of(envelope.payload)
    raise no_envelope(f"{VERIFYING} did not sign it")


def key_id(key: "Ed25519PublicKey") -> str:
    return digest_of_bytes(key.public_bytes_raw())


def private_key(setting: str) -> "Ed25519PrivateKey":
    """The key in the PEM, or in the file that the setting names; raises UsageError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem_of(setting, SIGNING), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise no_key(SIGNING, "it is no unencrypted private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise no_key(SIGNING, "it is no Ed25519 key")
    return key


def public_key(setting: str) -> "Ed25519PublicKey":
    """As private_key, for the other half."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if not setting:
        raise no_key(VERIFYING, "it is not set")
    try:
        key = load_pem_public_key(pem_of(setting, VERIFYING))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise no_key(VERIFYING, "it is no public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise no_key(VERIFYING, "it is no Ed25519 key")
    return key


def pem_of(setting: str, variable: str) -> bytes:
    """The PEM itself; GitHub's secrets and shells may have kept its line ends as two characters."""
    if setting.lstrip().startswith(PEM):
        return setting.replace("\\n", "\n").encode()
    try:
        return Path(setting).expanduser().read_bytes()
    except (OSError, ValueError) as error:
        # The setting may be a key with its first line lost: it is not shown.
        raise no_key(variable, "there is no such file, and it is no PEM") from error


def no_key(variable: str, why: str) -> UsageError:
    return UsageError(
        f"{variable} cannot be used: {why}.",
        hint=f"export {variable}=FILE; openssl genpkey -algorithm ed25519 makes a key.",
        code="key-invalid",
    )
