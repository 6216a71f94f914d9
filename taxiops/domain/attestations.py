"""The chain as in-toto statements, and the bytes and envelope of a DSSE signature; signs nothing.

Statement: github.com/in-toto/attestation spec/v1; provenance: slsa.dev/spec/v1.0/provenance;
envelope: github.com/secure-systems-lab/dsse, protocol.md and envelope.md.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taxiops.domain.chain import DIRTY, OBJECT_NAME, TRAINING_TAG, VERDICT_TAG, Files, Link
from taxiops.domain.evidence import canonical_json
from taxiops.errors import EvidenceError, TaxiopsError

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
# Ours; the name can belong to nobody (RFC 2606), and need not resolve.
EVIDENCE = "https://taxiops.invalid/evidence/v1"
BUILD = "https://taxiops.invalid/azure-ml-pipeline/v1"
# SHA-256 over the trips' values in lower-case hexadecimal, not over a file's bytes: no consumer may
# take it for `sha256`.
TRIPS_DIGEST = "taxiopsTrips"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
LARGEST_LINE = 4 * 1024**2
BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")


@dataclass(frozen=True)
class Exported:
    """What is exported of a version. files: (path, SHA-256 in hexadecimal) of the model's."""

    registry: str
    name: str
    version: str
    files: Files
    tags: Mapping[str, str]
    findings: Sequence[Link]
    deployments: Sequence[Mapping[str, Any]]
    workspace: str


@dataclass(frozen=True)
class Envelope:
    """A signed payload. signatures: the bytes, by whomever; key ids prove nothing."""

    payload: bytes
    payload_type: str
    signatures: tuple[bytes, ...]

    def document(self, key_id: str) -> dict[str, Any]:
        return {
            "payload": base64.standard_b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [
                {"keyid": key_id, "sig": base64.standard_b64encode(each).decode()}
                for each in self.signatures
            ],
        }


def statements(exported: Exported) -> list[dict[str, Any]]:
    """The provenance of the model, and the evidence for it; the same for the same chain."""
    subject = subjects(exported)
    pairs = ((PROVENANCE, provenance(exported)), (EVIDENCE, evidence(exported)))
    return [
        {"_type": STATEMENT, "subject": subject, "predicateType": kind, "predicate": predicate}
        for kind, predicate in pairs
    ]


def subjects(exported: Exported) -> list[dict[str, Any]]:
    """Each file of the model, and all of them as a folder."""
    place = f"{exported.registry}/{exported.name}/{exported.version}"
    return [
        {"name": place, "digest": {"dirHash": dir_hash(exported.files)}},
        *(
            {"name": f"{place}/{path}", "digest": {"sha256": digest}}
            for path, digest in sorted(exported.files)
        ),
    ]


def dir_hash(files: Files) -> str:
    """in-toto's `dirHash`: SHA-256 over what `sha256sum` prints of the files, in order of paths."""
    ordered = sorted(files, key=lambda each: each[0].encode())
    printed = "".join(f"{digest}  {path}\n" for path, digest in ordered)
    return hashlib.sha256(printed.encode()).hexdigest()


def provenance(exported: Exported) -> dict[str, Any]:
    tags = exported.tags
    commit, job = tags.get("commit", ""), tags.get("comparison_run", "")
    name = commit.removesuffix(DIRTY)
    is_exact = name == commit and OBJECT_NAME.fullmatch(name) is not None
    source = {"name": "source", "digest": {"gitCommit": name}}
    contents = (
        ("training data", TRAINING_TAG),
        ("test data", "test_data_sha256"),
    )
    data = [
        {"name": what, "digest": {TRIPS_DIGEST: tags[tag].removeprefix("sha256:")}}
        for what, tag in contents
        if tags.get(tag)
    ]
    return {
        "buildDefinition": {
            "buildType": BUILD,
            "externalParameters": {"commit": commit, "branch": tags.get("branch", "")},
            "internalParameters": {"workspace": exported.workspace},
            "resolvedDependencies": [*([source] if is_exact else []), *data],
        },
        "runDetails": {
            "builder": {"id": f"https://taxiops.invalid/workspaces/{exported.workspace}"},
            "metadata": {"invocationId": job},
            "byproducts": [
                {"name": file, "digest": {"sha256": tags.get(tag, "").removeprefix("sha256:")}}
                for file, tag in (
                    ("comparison.json", "report_sha256"),
                    ("verdict.json", VERDICT_TAG),
                )
            ],
        },
    }


def evidence(exported: Exported) -> dict[str, Any]:
    return {
        "registry": exported.registry,
        "model": exported.name,
        "version": exported.version,
        "tags": dict(exported.tags),
        "links": [each.document() for each in exported.findings],
        "deployments": [dict(each) for each in exported.deployments],
    }


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """What is signed: type and payload, each behind its length in bytes (DSSE protocol.md)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def payload_of(statement: Mapping[str, Any]) -> bytes:
    return canonical_json(dict(statement))


def parse_envelope(line: str) -> Envelope:
    """One line of a bundle; raises EvidenceError for what is no DSSE envelope of a statement."""
    if len(line) > LARGEST_LINE:
        raise no_envelope("it is too long")
    try:
        document = json.loads(line)
        found = document["signatures"]
        envelope = Envelope(
            decoded(document["payload"]),
            document["payloadType"],
            tuple(decoded(each["sig"]) for each in found),
        )
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise no_envelope("it is no DSSE envelope") from error
    if envelope.payload_type != PAYLOAD_TYPE:
        raise no_envelope(f"its payload is no {PAYLOAD_TYPE}")
    if not envelope.signatures:
        raise no_envelope("it is not signed")
    return envelope


def decoded(text: object) -> bytes:
    """Base64 in either alphabet, as DSSE demands of whoever verifies."""
    if not isinstance(text, str) or not BASE64.fullmatch(text):
        raise ValueError("no base64")
    return base64.b64decode(text.translate(str.maketrans("-_", "+/")), validate=True)


def no_envelope(why: str) -> EvidenceError:
    return EvidenceError(
        f"A line of the export cannot be trusted: {why}.",
        hint="Export again with TAXIOPS_SIGNING_KEY set: taxiops trace --export FILE",
        code="attestation-invalid",
    )


def statement_of(payload: bytes) -> Mapping[str, Any]:
    """The statement in a payload whose signature was checked; raises EvidenceError."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise no_envelope("its payload is no JSON") from error
    if not isinstance(document, dict) or document.get("_type") != STATEMENT:
        raise no_envelope(f"its payload is no {STATEMENT}")
    return document


def check_same(signed: Iterable[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> None:
    """Raises EvidenceError unless each kind of statement was signed of the same subjects.

    Provenance must be the same altogether; the evidence tells who serves, which may have changed.
    """
    by_kind = {str(each.get("predicateType")): each for each in signed}
    for wanted in now:
        kind = wanted["predicateType"]
        found = by_kind.get(kind)
        if found is None:
            raise differs(f"it holds no {kind}")
        if found.get("subject") != wanted["subject"]:
            raise differs(f"the subjects of {kind} are other files")
        if kind == PROVENANCE and found.get("predicate") != wanted["predicate"]:
            raise differs(f"{kind} tells of another origin")


def differs(why: str) -> TaxiopsError:
    return EvidenceError(
        f"The signed export does not fit the chain as it is now: {why}.",
        hint="taxiops trace shows the chain; the export shows what it was.",
        code="attestation-differs",
    )
