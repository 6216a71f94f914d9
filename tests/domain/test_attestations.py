"""Statements and envelopes as in-toto and DSSE define them."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiops.domain.attestations import (
    EVIDENCE,
    PAYLOAD_TYPE,
    PROVENANCE,
    STATEMENT,
    Envelope,
    Exported,
    check_same,
    dir_hash,
    parse_envelope,
    pre_authentication_encoding,
    statement_of,
    statements,
)
from taxiops.domain.chain import HOLDS, Link
from taxiops.errors import EvidenceError

DIGEST = f"sha256:{'1' * 64}"


def exported(**more: Any) -> Exported:
    facts: dict[str, Any] = {
        "registry": "mlr",
        "name": "taxi-class-dev",
        "version": "3",
        "files": (("model.skops", "a" * 64), ("metadata.json", "b" * 64)),
        "tags": {
            "commit": "c" * 40,
            "branch": "main",
            "comparison_run": "quiet_sun",
            "report_sha256": DIGEST,
            "verdict_sha256": DIGEST,
            "training_data_sha256": DIGEST,
        },
        "findings": (Link("model", HOLDS, "its bytes", "its tag"),),
        "deployments": ({"slot": "blue", "percent": 100},),
        "workspace": "mlw",
    }
    return Exported(**{**facts, **more})


# The first is of DSSE's protocol.md, the others of its testvectors/vectors.json.
@pytest.mark.parametrize(
    ("kind", "body", "encoded"),
    [
        (
            "http://example.com/HelloWorld",
            b"hello world",
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world",
        ),
        (
            "application/vnd.exämple+json",
            b'{"_type":"https://in-toto.io/Statement/v1"}',
            b"DSSEv1 29 application/vnd.ex\xc3\xa4mple+json 43 "
            b'{"_type":"https://in-toto.io/Statement/v1"}',
        ),
        (PAYLOAD_TYPE, b"", b"DSSEv1 28 application/vnd.in-toto+json 0 "),
        (
            PAYLOAD_TYPE,
            b"\xfb\xff\xbf>?",
            b"DSSEv1 28 application/vnd.in-toto+json 5 \xfb\xff\xbf>?",
        ),
    ],
)
def test_what_is_signed_is_as_dsse_says(kind: str, body: bytes, encoded: bytes) -> None:
    assert pre_authentication_encoding(kind, body) == encoded


@given(st.text(max_size=20), st.binary(max_size=20), st.text(max_size=20), st.binary(max_size=20))
def test_no_two_payloads_are_signed_alike(a: str, x: bytes, b: str, y: bytes) -> None:
    same = pre_authentication_encoding(a, x) == pre_authentication_encoding(b, y)
    assert same == ((a, x) == (b, y))


@given(st.binary(max_size=50), st.binary(min_size=1, max_size=64))
def test_an_envelope_survives_being_written(payload: bytes, signature: bytes) -> None:
    envelope = Envelope(payload, PAYLOAD_TYPE, (signature,))
    assert parse_envelope(json.dumps(envelope.document("a key"))) == envelope


def test_either_alphabet_of_base64_is_read() -> None:
    document = Envelope(b"\xfb\xff\xbf>?", PAYLOAD_TYPE, (b"\xff\xfe",)).document("")
    url_safe = json.dumps(document).replace("+", "-").replace("/", "_")
    url_safe = url_safe.replace(PAYLOAD_TYPE.replace("+", "-").replace("/", "_"), PAYLOAD_TYPE)
    assert "-_" in url_safe
    assert parse_envelope(url_safe).payload == b"\xfb\xff\xbf>?"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"payload":"","payloadType":"x","signatures":[{"sig":""}]}',
        f'{{"payload":"","payloadType":"{PAYLOAD_TYPE}","signatures":[]}}',
        f'{{"payload":"!","payloadType":"{PAYLOAD_TYPE}","signatures":[{{"sig":""}}]}}',
        f'{{"payload":1,"payloadType":"{PAYLOAD_TYPE}","signatures":[{{"sig":""}}]}}',
        f'{{"payload":"","payloadType":"{PAYLOAD_TYPE}","signatures":[1]}}',
        "[" * 100_000,
        " " * 5_000_000,
    ],
)
def test_what_is_no_signed_envelope_is_refused(line: str) -> None:
    with pytest.raises(EvidenceError, match="cannot be trusted"):
        parse_envelope(line)


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"_type": "https://in-toto.io/Statement/v0.1"}'])
def test_what_is_no_statement_is_refused(payload: bytes) -> None:
    with pytest.raises(EvidenceError, match="cannot be trusted"):
        statement_of(payload)


def test_statements_have_the_fields_that_the_specifications_require() -> None:
    first, second = statements(exported())
    for statement, kind in ((first, PROVENANCE), (second, EVIDENCE)):
        assert (statement["_type"], statement["predicateType"]) == (STATEMENT, kind)
        assert len({each["name"] for each in statement["subject"]}) == 3
        for subject in statement["subject"]:
            ((algorithm, digest),) = subject["digest"].items()
            assert algorithm in ("sha256", "dirHash")
            assert len(digest) == 64
    built = first["predicate"]["buildDefinition"]
    assert built["buildType"].startswith("https://")
    assert built["externalParameters"]["commit"] == "c" * 40
    assert built["resolvedDependencies"][0]["digest"] == {"gitCommit": "c" * 40}
    assert all(each["digest"] for each in built["resolvedDependencies"])
    assert first["predicate"]["runDetails"]["builder"]["id"].endswith("/mlw")
    assert first["predicate"]["runDetails"]["metadata"]["invocationId"] == "quiet_sun"
    assert second["predicate"]["links"][0]["state"] == HOLDS


def test_no_commit_is_claimed_of_code_that_was_in_none() -> None:
    for commit in (f"{'c' * 40}-dirty", "unknown"):
        (first, _) = statements(exported(tags={"commit": commit}))
        assert first["predicate"]["buildDefinition"]["resolvedDependencies"] == []


def test_the_folders_digest_is_what_sha256sum_gives(tmp_path: Path) -> None:
    names = ("b.txt", "a.txt", "deep/c.txt", "Z.txt")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    files = [(name, hashlib.sha256(name.encode()).hexdigest()) for name in names]
    line = "find . -type f | cut -c3- | LC_ALL=C sort | xargs -r sha256sum | sha256sum"
    done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, check=True)  # noqa: S602
    assert done.stdout.decode().split()[0] == dir_hash(files)


def test_an_export_of_another_chain_is_told_from_one_of_which_only_the_traffic_changed() -> None:
    now = statements(exported())
    check_same(statements(exported(deployments=())), now)
    for other, word in (
        (exported(files=(("model.skops", "d" * 64),)), "other files"),
        (exported(tags={"commit": "d" * 40}), "another origin"),
    ):
        with pytest.raises(EvidenceError, match=word):
            check_same(statements(other), now)
    with pytest.raises(EvidenceError, match="holds no"):
        check_same(now[:1], now)
