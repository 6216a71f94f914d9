"""`taxiops trace` on a real emulator: the chain holds, or the broken link is named."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taxiops.cloud import endpoints, models
from taxiops.config import MASK, Settings, Value
from taxiops.domain.evidence import SEAL, VALIDATED, is_validated
from taxiops.errors import EvidenceError, NotFound, UsageError
from taxiops.workflows import registry
from taxiops.workflows.deploy import DeployOptions, deploy
from taxiops.workflows.documents import read_document
from taxiops.workflows.roll_back import roll_back
from taxiops.workflows.rollouts.rollout import connect_to
from taxiops.workflows.shift_traffic import promote_traffic
from taxiops.workflows.trace import TraceOptions, trace

if TYPE_CHECKING:
    from conftest import Promoted, World


def ignore(_: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def traced(world: "World", first: "Promoted") -> Iterator[Settings]:
    """An endpoint that serves the first model."""
    settings = world.settings(endpoint="traced")
    deploy(settings, DeployOptions(model_version=first.promotion.version), ignore)
    yield settings
    endpoints.delete_endpoint(connect_to(settings), ignore)


def tags(settings: Settings, version: str) -> dict[str, str]:
    found = models.read_version(connect_to(settings).registry, settings.model_name, version)
    assert found is not None
    return dict(found.tags)


def test_a_version_counts_as_validated_from_all_of_devs_traffic_until_it_is_rolled_back(
    traced: Settings, first: "Promoted", second: "Promoted"
) -> None:
    version, connection = second.promotion.version, connect_to(traced)
    found = models.read_version(connection.registry, traced.model_name, version)
    assert found is not None
    # Other tests may have had it validated before.
    model = registry.model_of(connection, found)
    registry.note_validation(connection, model, "withdrawn", ignore)
    deploy(traced, DeployOptions(model_version=version), ignore)
    with pytest.raises(EvidenceError, match="not validated"):
        trace(traced, TraceOptions(model_version=version, validated=True), ignore)
    promote_traffic(traced, None, 100, ignore)
    result = trace(traced, TraceOptions(validated=True), ignore)
    assert result.model.version == version
    roll_back(traced, None, ignore)
    assert tags(traced, version)[VALIDATED].startswith("withdrawn")
    with pytest.raises(EvidenceError, match="not validated"):
        trace(traced, TraceOptions(model_version=version, validated=True), ignore)


def test_the_chain_is_written_with_what_serves_and_notes_for_a_release(
    traced: Settings, first: "Promoted"
) -> None:
    result = trace(traced, TraceOptions(deployment="dev/blue"), ignore)
    assert result.model.version == first.promotion.version
    (serving,) = [each for each in result.deployments if each.endpoint == "traced"]
    assert (serving.slot, serving.percent, serving.sha256) == ("blue", 100, result.model.sha256)
    assert result.job_status == "Completed"
    document = read_document(traced.output / "trace" / "trace.json", "trace", "")
    assert document["comparison_run"] == first.comparison.job_name
    notes = result.notes.read_text(encoding="utf-8")
    assert first.promotion.sha256 in notes
    assert "100 % of traced" in notes


def test_a_tag_that_somebody_edited_breaks_the_chain_and_is_never_sealed_again(
    traced: Settings, first: "Promoted"
) -> None:
    version, client = first.promotion.version, connect_to(traced).registry
    before = tags(traced, version)
    models.write_tags(client, traced.model_name, version, {"commit": "0" * 40})
    with pytest.raises(EvidenceError, match="broken at: registry version"):
        trace(traced, TraceOptions(model_version=version), ignore)
    connection, told = connect_to(traced), list[str]()
    found = models.read_version(client, traced.model_name, version)
    assert found is not None
    registry.note_validation(connection, registry.model_of(connection, found), "now", told.append)
    assert "does not verify" in told[-1]
    assert tags(traced, version)[SEAL] == before[SEAL]
    assert not is_validated(tags(traced, version))
    models.write_tags(client, traced.model_name, version, {"commit": before["commit"]})
    trace(traced, TraceOptions(model_version=version), ignore)


def test_an_export_is_signed_and_fits_only_the_chain_it_was_made_of(
    traced: Settings, first: "Promoted", second: "Promoted", tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    made, pem = Ed25519PrivateKey.generate(), serialization.Encoding.PEM
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    keys = {
        "signing_key": Value(made.private_bytes(pem, pkcs8, plain).decode(), "environment"),
        "verifying_key": Value(made.public_key().public_bytes(pem, spki).decode(), "environment"),
    }
    settings = replace(traced, values={**traced.values, **keys})
    assert settings.shown()["signing_key"].value == MASK
    path, version = tmp_path / "model.intoto.jsonl", first.promotion.version
    result = trace(settings, TraceOptions(model_version=version, export=path), ignore)
    assert result.exported == f"{path} (signed)"
    assert trace(settings, TraceOptions(model_version=version, verify=path), ignore).model.version
    with pytest.raises(EvidenceError, match="other files"):
        trace(settings, TraceOptions(model_version=second.promotion.version, verify=path), ignore)
    unsigned = trace(traced, TraceOptions(model_version=version, export=path), ignore)
    assert unsigned.exported == f"{path} (not signed)"
    subjects = json.loads(path.read_text(encoding="utf-8").splitlines()[0])["subject"]
    assert {"sha256", "dirHash"} == {name for each in subjects for name in each["digest"]}


def test_what_is_not_there_or_asked_twice_is_told(traced: Settings) -> None:
    with pytest.raises(NotFound, match="no slot red"):
        trace(traced, TraceOptions(deployment="dev/red"), ignore)
    with pytest.raises(UsageError, match="ENV/SLOT"):
        trace(traced, TraceOptions(deployment="blue"), ignore)
    with pytest.raises(UsageError, match="exclude"):
        trace(traced, TraceOptions(model_version="1", commit="0" * 40), ignore)
