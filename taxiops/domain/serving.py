"""The links from a registry version to the requests: slots, the ledger, the traffic decision.

Reads nothing itself; the ledger's entries come as they were read, the oldest first.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taxiops.domain.chain import UNREAD, VERDICT_TAG, Link, differing, judged
from taxiops.domain.evidence import digest_of_json
from taxiops.domain.hash_chain import Break
from taxiops.domain.rollout import live_only
from taxiops.domain.state_file import ModelReference

# How the service names the registry version of a deployment, in either of its spellings.
REFERENCE = re.compile(
    r".*/registries/(?P<registry>[^/]+)/models/(?P<model>[^/]+)/versions/(?P<version>[^/]+)"
)
PLANNED, PROVISIONED = "planned", "provisioned"
# Traffic that no event told of: somebody else's change, or one whose author died.
OBSERVED = "observed"
MODEL_PROMOTED = "model_promoted"
TESTED, TEST_FAILED = "tested", "test_failed"
SLOT_DIGEST = "slot_tags_sha256"
SLOT_TAGS = (
    "model",
    "registry",
    "model_version",
    "model_sha256",
    "commit",
    "run_id",
    "deployed_at",
)
Entries = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class SlotMaterial:
    """A slot as it is. model: how the service names its model. answered: the digest that a scoring
    answer gave; empty when it could not be asked, for the reason in `silent`."""

    environment: str
    endpoint: str
    slot: str
    tags: Mapping[str, str]
    model: str
    answered: str = ""
    silent: str = ""

    @property
    def link(self) -> str:
        return f"deployment {self.environment}/{self.slot}"


@dataclass(frozen=True)
class Rollout:
    """What the endpoint's own tags tell of the last rollout."""

    slot: str
    model: ModelReference
    prior_traffic: Mapping[str, int]
    tested: str


def slot_tags_digest(tags: Mapping[str, str]) -> str:
    """The digest of what taxiops wrote on a slot; tags of others make no difference."""
    return digest_of_json({name: tags.get(name, "") for name in SLOT_TAGS})


def slot_finding(
    slot: SlotMaterial, model: ModelReference, commit: str, entries: Entries | None
) -> Link:
    """The slot's tags, its model as the service names it, its answer, and the ledger's word."""
    wanted = {
        "model": model.name,
        "registry": model.registry,
        "model_version": model.version,
        "model_sha256": model.sha256,
        "commit": commit or "none",
    }
    pairs = [(f"tag {name}", slot.tags.get(name, ""), value) for name, value in wanted.items()]
    problems = differing(pairs)
    named = REFERENCE.fullmatch(slot.model)
    if named:
        found = (named["registry"], named["model"], named["version"])
        if found != (model.registry, model.name, model.version):
            problems.append(f"its model is {slot.model}")
    if slot.answered and slot.answered != model.sha256:
        problems.append(f"it answers with model {slot.answered}, promoted is {model.sha256}")
    pinned = [each for each in entries or () if each.get(SLOT_DIGEST)]
    put = newest(pinned, slot.slot, PROVISIONED, TESTED)
    if put is not None:
        pairs = [
            ("its model in the ledger", str(put.get("model_sha256", "")), model.sha256),
            ("the digest of its tags", slot_tags_digest(slot.tags), str(put[SLOT_DIGEST])),
        ]
        problems += differing(pairs)
    answers = "and its answer" if slot.answered else f"(not its answer: {slot.silent})"
    checked = f"its tags, its model reference {answers}"
    against = "the registry version" + (entry_text(put) if put else "")
    return judged(slot.link, checked, against, problems)


def promotion_finding(entries: Entries, name: str, version: str, tags: Mapping[str, str]) -> Link:
    """The version's digests against what the ledger was told when it was promoted."""
    link, checked = "promotion", "tags model_sha256, report_sha256 and verdict_sha256"
    of_version = [e for e in entries if (e.get("model"), e.get("model_version")) == (name, version)]
    told = next((e for e in reversed(of_version) if e.get("event") == MODEL_PROMOTED), None)
    if told is None:
        return Link(link, UNREAD, checked, "the ledger", "no entry tells of it")
    digests = ("model_sha256", "report_sha256", VERDICT_TAG)
    pairs = [(f"tag {each}", tags.get(each, ""), str(told.get(each, ""))) for each in digests]
    return judged(link, checked, f"the ledger{entry_text(told)}", differing(pairs))


def entry_text(entry: Mapping[str, Any]) -> str:
    number, by = entry.get("sequence"), entry.get("actor")
    return f", ledger entry {number} ({entry.get('event')} by {by} at {entry.get('at')})"


def newest(entries: Entries, slot: str, *events: str) -> Mapping[str, Any] | None:
    found = (each for each in reversed(entries) if each.get("event") in events)
    return next((each for each in found if each.get("slot") == slot), None)


def ledger_finding(env: str, count: int, breaks: Sequence[Break]) -> Link:
    checked = f"{count} entries of the workspace's ledger"
    against = "each other, the head file and the endpoint's tag"
    return judged(f"ledger {env}", checked, against, [each.text for each in breaks])


def rollout_finding(env: str, rollout: Rollout, entries: Entries) -> Link:
    """The endpoint's tags, by which a rollback goes, against what the ledger tells."""
    link, checked = f"endpoint {env}", "what its tags tell of the last rollout"
    planned = newest(entries, rollout.slot, PLANNED)
    if planned is None:
        return Link(link, UNREAD, checked, "the ledger", "no event tells of that rollout")
    pairs = [
        ("its slot", rollout.slot, str(entries[-1].get("slot", ""))),
        ("its model version", rollout.model.version, str(planned.get("model_version", ""))),
        ("its model", rollout.model.sha256, str(planned.get("model_sha256", ""))),
        ("its prior traffic", shares(rollout.prior_traffic), shares(planned.get("after"))),
    ]
    after_plan = [e for e in entries if e.get("sequence", 0) > planned.get("sequence", 0)]
    test = newest(after_plan, rollout.slot, TESTED, TEST_FAILED)
    if rollout.tested == "passed" and test is not None:
        pairs.append(("its last test", TESTED, str(test.get("event"))))
    return judged(link, checked, f"the ledger{entry_text(planned)}", differing(pairs))


def traffic_finding(env: str, traffic: Mapping[str, int], entries: Entries) -> Link:
    """The live traffic against what the newest event left."""
    link, checked = f"traffic {env}", f"the live traffic, {shares(traffic)}"
    if not entries:
        why = "no event tells of this endpoint"
        return Link(link, UNREAD, checked, "the ledger", why)
    last = entries[-1]
    decided = "; no command of taxiops decided it" if last.get("event") == OBSERVED else ""
    against = f"what the newest event left{entry_text(last)}{decided}"
    pairs = [("the traffic", shares(traffic), shares(last.get("after")))]
    return judged(link, checked, against, differing(pairs))


def shares(traffic: object) -> str:
    """A distribution as text, equal for equal ones; zeros make no difference."""
    known = traffic if isinstance(traffic, Mapping) else {}
    live = live_only({str(slot): share for slot, share in known.items() if isinstance(share, int)})
    return ", ".join(f"{slot} {live[slot]} %" for slot in sorted(live)) or "no traffic"
