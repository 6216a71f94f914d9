"""The links of the chain: an untouched one holds, any one change breaks the right link."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taxiops.domain.chain import (
    BROKEN,
    COMMIT,
    COMPARISON,
    HOLDS,
    JOB,
    MODEL,
    POLICY,
    TRAINING_DATA,
    TRAINING_TAG,
    UNREAD,
    VERDICT,
    VERDICT_TAG,
    VERSION,
    JobMaterial,
    Link,
    Material,
    first_broken,
    version_findings,
)
from taxiops.domain.evidence import (
    SEAL,
    canonical_json,
    digest_of_bytes,
    digest_of_files,
    promotion_tags,
    sealed,
)
from taxiops.domain.hash_chain import Break
from taxiops.domain.serving import (
    PLANNED,
    PROVISIONED,
    SLOT_DIGEST,
    Rollout,
    SlotMaterial,
    ledger_finding,
    promotion_finding,
    rollout_finding,
    slot_finding,
    slot_tags_digest,
    traffic_finding,
)
from taxiops.domain.state_file import ModelReference

COMMIT_OBJECT = b"tree 0123\n\nA message\n"
COMMIT_NAME = hashlib.sha1(b"commit 21\0" + COMMIT_OBJECT).hexdigest()
FILES = (("metadata.json", "1" * 64), ("model.skops", "2" * 64))
TRAINING = digest_of_bytes(b"training trips")
LINKS = [COMMIT, JOB, TRAINING_DATA, MODEL, COMPARISON, POLICY, VERDICT, VERSION]


def material_of(comparison: Mapping[str, Any]) -> Material:
    """What stands behind a version that was promoted as it should be."""
    document = json.loads(json.dumps(comparison))
    document["candidate"]["sha256"] = digest_of_files(FILES)
    document["commit"] = COMMIT_NAME
    report = canonical_json(document)
    verdict = canonical_json(
        {
            "schema_version": 1,
            "passed": True,
            "verdict": "improved",
            "reasons": list(document["reasons"]),
            "report_sha256": digest_of_bytes(report),
            "policy_sha256": document["policy_sha256"],
            "overridden_by": "",
            "override_reason": "",
            "created_at": "2026-11-23T10:00:00Z",
        }
    )
    more = {VERDICT_TAG: digest_of_bytes(verdict), TRAINING_TAG: TRAINING}
    return Material(
        tags=promotion_tags(document, digest_of_bytes(report), "", more),
        files=FILES,
        metadata={"training": {"sha256": TRAINING}, "created_from": {"commit": COMMIT_NAME}},
        report=report,
        verdict=verdict,
        job=JobMaterial("Completed", COMMIT_NAME, FILES),
        commit_object=COMMIT_OBJECT,
    )


@pytest.fixture
def whole(comparison: dict[str, Any]) -> Material:
    return material_of(comparison)


def broken(material: Material) -> Link:
    found = first_broken(version_findings(material))
    assert found is not None
    return found


def test_every_link_of_an_untouched_chain_holds(whole: Material) -> None:
    findings = version_findings(whole)
    assert [each.link for each in findings] == LINKS
    assert [(each.link, each.why) for each in findings if each.state != HOLDS] == []


def test_every_single_tag_that_is_edited_is_named(whole: Material) -> None:
    for name in whole.tags:
        edited = {**whole.tags, name: "x" + whole.tags[name][1:]}
        found = broken(replace(whole, tags=edited))
        assert found.link == VERSION, name
        assert name in found.why, found.why


def test_a_tag_edited_under_a_seal_made_anew_is_named_too(whole: Material) -> None:
    named = set(whole.tags) - {SEAL, "run_id", TRAINING_TAG, VERDICT_TAG}
    for name in named:
        forged = sealed({**whole.tags, name: digest_of_bytes(b"forged")})
        found = first_broken(version_findings(replace(whole, tags=forged)))
        assert found is not None, name
        assert f"{name} is" in found.why or "digest" in found.why, found.why


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_changed_byte_of_either_file_breaks_its_link(
    whole: Material, data: st.DataObject
) -> None:
    name, link = data.draw(st.sampled_from([("report", COMPARISON), ("verdict", VERDICT)]))
    content = getattr(whole, name)
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != content[at]))
    changed = content[:at] + bytes([byte]) + content[at + 1 :]
    findings = version_findings(replace(whole, **{name: changed}))
    assert [each.link for each in findings if each.state == BROKEN] == [link]


@pytest.mark.parametrize(
    ("changes", "link", "word"),
    [
        ({"commit_object": b"tree 0124\n\nA message\n"}, COMMIT, "the object's digest"),
        ({"job": JobMaterial("Failed", COMMIT_NAME, FILES)}, JOB, "its status is Failed"),
        ({"job": JobMaterial("Completed", "f" * 40, FILES)}, JOB, "its commit is fff"),
        ({"job": JobMaterial("Completed", COMMIT_NAME, FILES[:1])}, JOB, "its model's digest"),
        ({"metadata": {}}, TRAINING_DATA, "is missing"),
        (
            {"metadata": {"training": {"sha256": TRAINING}, "created_from": {"commit": "x"}}},
            TRAINING_DATA,
            "the training's commit is x",
        ),
        ({"files": (FILES[0], ("model.skops", "3" * 64))}, MODEL, "wrote it: model.skops"),
        ({"files": FILES[:1]}, MODEL, "wrote it: model.skops"),
        ({"files": ()}, MODEL, "is missing"),
        ({"report": None}, COMPARISON, "is missing"),
        ({"verdict": None}, VERDICT, "is missing"),
    ],
)
def test_what_was_changed_or_taken_away_breaks_the_link_it_belongs_to(
    whole: Material, changes: dict[str, Any], link: str, word: str
) -> None:
    found = broken(replace(whole, **changes))
    assert (found.link, found.state) == (link, BROKEN)
    assert word in found.why


def test_what_could_not_be_read_is_told_and_breaks_nothing(whole: Material) -> None:
    why = {COMPARISON: "no role", VERDICT: "no role", JOB: "another workspace"}
    unread = replace(whole, report=None, verdict=None, job=None, commit_object=None, unread=why)
    findings = {each.link: each for each in version_findings(unread)}
    assert first_broken(findings.values()) is None
    told = {link for link, each in findings.items() if each.state == UNREAD}
    assert told == {COMMIT, JOB, COMPARISON, POLICY, VERDICT}
    assert findings[JOB].why == "another workspace"


@pytest.mark.parametrize("commit", ["unknown", f"{COMMIT_NAME}-dirty"])
def test_a_commit_that_does_not_hold_the_code_proves_nothing(
    comparison: dict[str, Any], commit: str
) -> None:
    whole = material_of(comparison)
    found = version_findings(replace(whole, tags={**whole.tags, "commit": commit}))[0]
    assert (found.link, found.state) == (COMMIT, UNREAD)


def test_a_version_promoted_before_there_was_evidence_is_not_whole(whole: Material) -> None:
    tags = {name: value for name, value in whole.tags.items() if name != VERDICT_TAG}
    found = broken(replace(whole, tags=sealed(tags), verdict=None))
    assert (found.link, "nothing is recorded" in found.why) == (VERDICT, True)


def test_a_verdict_that_the_numbers_do_not_lead_to_is_broken(whole: Material) -> None:
    verdict = json.loads(whole.verdict or b"")
    refused = canonical_json({**verdict, "passed": False, "verdict": "not_improved"})
    tags = sealed({**whole.tags, VERDICT_TAG: digest_of_bytes(refused)})
    found = broken(replace(whole, verdict=refused, tags=tags))
    assert found.link == VERDICT
    assert "the gate refused the candidate" in found.why


REFERENCE = ModelReference("mlr", "taxi", "3", digest_of_bytes(b"model"))
SLOT_TAGS = {
    "model": "taxi",
    "registry": "mlr",
    "model_version": "3",
    "model_sha256": REFERENCE.sha256,
    "commit": COMMIT_NAME,
    "run_id": "none",
    "deployed_at": "2026-11-23T10:00:00Z",
}
SLOT = SlotMaterial(
    "dev",
    "e",
    "blue",
    SLOT_TAGS,
    "azureml://registries/mlr/models/taxi/versions/3",
    REFERENCE.sha256,
)
FACTS = {"slot": "blue", "model_version": "3", "model_sha256": REFERENCE.sha256, "actor": "ada"}
ENTRIES = [
    {"sequence": 1, "event": PLANNED, "after": {"green": 100}, **FACTS},
    {"sequence": 2, "event": PROVISIONED, SLOT_DIGEST: slot_tags_digest(SLOT_TAGS), **FACTS},
    {"sequence": 3, "event": "promoted", "after": {"blue": 100, "green": 0}, **FACTS},
]


def test_a_slot_holds_whatever_others_tag_and_however_the_service_names_its_model() -> None:
    arm = "/subscriptions/s/providers/x/registries/mlr/models/taxi/versions/3"
    for slot in (
        SLOT,
        replace(SLOT, tags={**SLOT_TAGS, "cost-centre": "7"}),
        replace(SLOT, model=arm),
    ):
        assert slot_finding(slot, REFERENCE, COMMIT_NAME, ENTRIES).state == HOLDS


def test_every_tag_model_and_answer_of_a_slot_counts() -> None:
    changed = [replace(SLOT, tags={**SLOT_TAGS, name: "other"}) for name in SLOT_TAGS]
    changed += [
        replace(SLOT, model="azureml://registries/mlr/models/taxi/versions/4"),
        replace(SLOT, answered=digest_of_bytes(b"another model")),
    ]
    for slot in changed:
        found = slot_finding(slot, REFERENCE, COMMIT_NAME, ENTRIES)
        assert (found.link, found.state) == ("deployment dev/blue", BROKEN)
    silent = replace(SLOT, answered="", silent="HTTP 503")
    found = slot_finding(silent, REFERENCE, COMMIT_NAME, ENTRIES)
    assert (found.state, "HTTP 503" in found.checked) == (HOLDS, True)


def test_the_endpoints_own_tags_must_be_what_the_ledger_tells() -> None:
    rollout = Rollout("blue", REFERENCE, {"green": 100, "blue": 0}, "passed")
    assert rollout_finding("dev", rollout, ENTRIES).state == HOLDS
    other = ModelReference("mlr", "taxi", "4", REFERENCE.sha256)
    for changed in (
        replace(rollout, prior_traffic={"blue": 100}),
        replace(rollout, model=other),
        replace(rollout, slot="green"),
    ):
        assert rollout_finding("dev", changed, ENTRIES).state in (BROKEN, UNREAD)
    failed = [*ENTRIES, {"sequence": 4, "event": "test_failed", **FACTS}]
    found = rollout_finding("dev", rollout, failed)
    assert (found.state, "its last test" in found.why) == (BROKEN, True)


def test_the_traffic_must_be_what_the_newest_event_left() -> None:
    assert traffic_finding("dev", {"blue": 100}, ENTRIES).state == HOLDS
    assert traffic_finding("dev", {"blue": 70, "green": 30}, ENTRIES).state == BROKEN
    assert traffic_finding("dev", {"blue": 100}, []).state == UNREAD
    seen = [*ENTRIES, {"sequence": 4, "event": "observed", "after": {"green": 100}}]
    found = traffic_finding("dev", {"green": 100}, seen)
    assert (found.state, "no command of taxiops decided it" in found.against) == (HOLDS, True)


def test_a_broken_ledger_and_a_promotion_that_it_tells_otherwise_are_links_too() -> None:
    assert ledger_finding("dev", 3, []).state == HOLDS
    found = ledger_finding("dev", 3, [Break(1, "entry 1 missing")])
    assert (found.link, found.why) == ("ledger dev", "entry 1 missing")
    digests = {"model_sha256": "a", "report_sha256": "b", VERDICT_TAG: "c"}
    told = {"event": "model_promoted", "model": "taxi", "model_version": "3", "sequence": 0}
    entries = [{**told, **digests}]
    assert promotion_finding(entries, "taxi", "3", digests).state == HOLDS
    assert promotion_finding(entries, "taxi", "3", {**digests, "model_sha256": "x"}).state == BROKEN
    assert promotion_finding([], "taxi", "3", digests).state == UNREAD
