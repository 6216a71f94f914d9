"""Signed exports: by a key from the environment, checked by its other half."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from taxiops.domain.attestations import STATEMENT
from taxiops.errors import EvidenceError, NotFound, UsageError
from taxiops.workflows.evidence.signing import private_key, public_key, read_bundle, write_bundle

ROWS = [{"_type": STATEMENT, "subject": [], "predicateType": f"https://x/{n}"} for n in "ab"]
# RFC 8032, 7.1, TEST 1; the signature is that of DSSE's own testvectors/vectors.json.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
SIGNED = "2WAfaHm5jluo0w+0rk8uVkluELJYWjSmU9x7EUzx+AyteDGJ4/nqyJXfmAUVFIAoQafWm7AxBZNw5M9ixNHiCA=="


def pem(key: Ed25519PrivateKey) -> str:
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return text.decode()


def public_pem(key: Ed25519PrivateKey) -> str:
    text = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return text.decode()


KEY = Ed25519PrivateKey.from_private_bytes(SEED)


def test_a_signature_is_the_one_of_the_specifications_vectors(tmp_path: Path) -> None:
    path = tmp_path / "export.intoto.jsonl"
    assert write_bundle(path, [{"_type": STATEMENT}], pem(KEY))
    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["signatures"][0]["sig"] == SIGNED
    assert read_bundle(path, public_pem(KEY)) == [{"_type": STATEMENT}]


def test_keys_come_from_a_file_or_from_the_variable_itself(tmp_path: Path) -> None:
    signing, verifying = tmp_path / "signing.pem", tmp_path / "verifying.pem"
    signing.write_text(pem(KEY), encoding="utf-8")
    verifying.write_text(public_pem(KEY), encoding="utf-8")
    path = tmp_path / "export.intoto.jsonl"
    for secret in (str(signing), pem(KEY), pem(KEY).replace("\n", "\\n")):
        write_bundle(path, ROWS, secret)
        assert read_bundle(path, str(verifying)) == ROWS
    assert not write_bundle(path, ROWS, "")
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == ROWS
    with pytest.raises(EvidenceError, match="no DSSE envelope"):
        read_bundle(path, str(verifying))


def test_one_changed_byte_or_another_key_is_no_signature(tmp_path: Path) -> None:
    path = tmp_path / "export.intoto.jsonl"
    write_bundle(path, ROWS, pem(KEY))
    with pytest.raises(EvidenceError, match="did not sign it"):
        read_bundle(path, public_pem(Ed25519PrivateKey.generate()))
    whole = path.read_text(encoding="utf-8")
    document = json.loads(whole.splitlines()[0])
    for name in ("payload", "sig"):
        edited = json.loads(json.dumps(document))
        holder = edited if name == "payload" else edited["signatures"][0]
        first = holder[name][0]
        holder[name] = ("B" if first == "A" else "A") + holder[name][1:]
        path.write_text(json.dumps(edited), encoding="utf-8")
        with pytest.raises(EvidenceError, match="cannot be trusted"):
            read_bundle(path, public_pem(KEY))
    path.write_text("", encoding="utf-8")
    with pytest.raises(EvidenceError, match="empty"):
        read_bundle(path, public_pem(KEY))
    with pytest.raises(NotFound):
        read_bundle(tmp_path / "nowhere", public_pem(KEY))


def test_what_is_no_key_is_told_without_showing_it(tmp_path: Path) -> None:
    other = ec_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    secret = "MC4CAQAwBQYDK2VwBCIEIFlost-its-first-line"
    for given in (secret, "-----BEGIN PRIVATE KEY-----\nMC4\n", other.decode(), str(tmp_path)):
        with pytest.raises(UsageError, match="TAXIOPS_SIGNING_KEY cannot be used") as caught:
            private_key(given)
        assert secret not in f"{caught.value} {caught.value.why} {caught.value.hint}"
    for given in ("", "nowhere.pem", pem(KEY)):
        with pytest.raises(UsageError, match="TAXIOPS_VERIFYING_KEY cannot be used"):
            public_key(given)
