"""The chain from a commit to traffic: what each link claims, held against what was read.

Reads nothing itself. A link that hangs on a broken one is not judged: the first break is what is
wrong, and what follows from it would only hide it.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taxiops.domain.comparison import Comparison, parse_comparison
from taxiops.domain.evidence import (
    SEAL,
    digest_of_bytes,
    digest_of_files,
    problems_of_tags,
    promotion_tags,
    tag_text,
)
from taxiops.domain.fields import parse_text
from taxiops.domain.gate import decide
from taxiops.domain.outcome_files import GateVerdict, parse_verdict
from taxiops.errors import EvidenceError, TaxiopsError

HOLDS, BROKEN, UNREAD = "holds", "broken", "not checked"
COMMIT, JOB, TRAINING_DATA, MODEL = "commit", "job", "training data", "model"
COMPARISON, POLICY, VERDICT, VERSION = "comparison", "policy", "verdict", "registry version"
VERDICT_TAG, TRAINING_TAG = "verdict_sha256", "training_data_sha256"
OBJECT_NAME = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
DIRTY = "-dirty"
Files = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Link:
    """One link. checked, against: what was held against what. why: what is wrong or not read."""

    link: str
    state: str
    checked: str
    against: str
    why: str = ""

    def document(self) -> dict[str, str]:
        named = {"link": self.link, "state": self.state}
        return {**named, "checked": self.checked, "against": self.against, "why": self.why}


@dataclass(frozen=True)
class JobMaterial:
    """What the workspace tells of the comparison's job. files: of its model output, if any."""

    status: str
    commit: str
    files: Files = ()


@dataclass(frozen=True)
class Material:
    """What was read of a registry version. Files are (path, SHA-256 in hexadecimal).

    report, verdict: the bytes that were kept beside it; None when they are not there. job and
    commit_object: None when they could not be read. unread: why, by link.
    """

    tags: Mapping[str, str]
    files: Files
    metadata: Mapping[str, Any]
    report: bytes | None
    verdict: bytes | None
    job: JobMaterial | None = None
    commit_object: bytes | None = None
    unread: Mapping[str, str] = field(default_factory=dict)

    def tag(self, name: str) -> str:
        return self.tags.get(name, "")


def first_broken(findings: Iterable[Link]) -> Link | None:
    """The break that the others hang on: the tags, which name all the rest, else the first."""
    broken = [each for each in findings if each.state == BROKEN]
    return next((each for each in broken if each.link == VERSION), next(iter(broken), None))


def version_findings(material: Material) -> list[Link]:
    """The links from the commit to the registry version, in that order."""
    model = model_finding(material)
    comparison, compared = comparison_finding(material)
    return [
        commit_finding(material),
        job_finding(material),
        training_finding(material, model),
        model,
        comparison,
        policy_finding(material, compared),
        verdict_finding(material, compared),
        tags_finding(material, compared),
    ]


def judged(link: str, checked: str, against: str, problems: Sequence[str]) -> Link:
    return Link(link, BROKEN if problems else HOLDS, checked, against, "; ".join(problems))


def differing(pairs: Iterable[tuple[str, str, str]]) -> list[str]:
    """Sentences for (what, found, wanted) that differ, or of which nothing is recorded."""
    problems = []
    for what, found, wanted in pairs:
        if not wanted:
            problems.append(f"{what}: nothing is recorded")
        elif found != wanted:
            problems.append(f"{what} is {found or 'missing'}, recorded is {wanted}")
    return problems


def commit_finding(material: Material) -> Link:
    """A commit's name is the digest of its object (git-scm.com/book, Git Objects)."""
    commit = material.tag("commit")
    name = commit.removesuffix(DIRTY)
    checked, against = "the commit object in this repository", f"tag commit {commit}"
    if not OBJECT_NAME.fullmatch(name):
        return Link(COMMIT, UNREAD, checked, against, "no commit was recorded")
    content = material.commit_object
    if content is None:
        why = material.unread.get(COMMIT, "no git repository here has it")
        return Link(COMMIT, UNREAD, checked, against, why)
    digest = hashlib.sha1 if len(name) == 40 else hashlib.sha256
    found = digest(b"commit %d\0" % len(content) + content).hexdigest()
    problems = differing([("the object's digest", found, name)])
    if commit.endswith(DIRTY) and not problems:
        why = "the code had changes that are in no commit"
        return Link(COMMIT, UNREAD, checked, against, why)
    return judged(COMMIT, checked, against, problems)


def job_finding(material: Material) -> Link:
    name, job = material.tag("comparison_run"), material.job
    checked = f"job {name}: its end, its commit and the bytes of its model"
    against = "tags commit and model_sha256"
    if job is None:
        return Link(JOB, UNREAD, checked, against, material.unread.get(JOB, "it is gone"))
    pairs = [("its status", job.status, "Completed")]
    pairs += [("its commit", job.commit, material.tag("commit"))] if job.commit else []
    if job.files:
        pairs.append(
            ("its model's digest", digest_of_files(job.files), material.tag("model_sha256"))
        )
    else:
        checked = f"job {name}: its end and its commit; its model could not be read"
    return judged(JOB, checked, against, differing(pairs))


def training_finding(material: Material, model: Link) -> Link:
    """The digest of the training trips, as the job wrote it into the model that it made."""
    checked, against = "metadata.json in the model", f"tags {TRAINING_TAG} and commit"
    if model.state != HOLDS:
        return hangs_on(model, TRAINING_DATA, checked, against)
    training, source = material.metadata.get("training"), material.metadata.get("created_from")
    found = training.get("sha256", "") if isinstance(training, Mapping) else ""
    commit = source.get("commit", "") if isinstance(source, Mapping) else ""
    pairs = [
        ("the training data's digest", str(found), material.tag(TRAINING_TAG)),
        ("the training's commit", tag_text(commit), material.tag("commit")),
    ]
    return judged(TRAINING_DATA, checked, against, differing(pairs))


def hangs_on(other: Link, link: str, checked: str, against: str) -> Link:
    return Link(link, UNREAD, checked, against, f"it hangs on the {other.link}")


def model_finding(material: Material) -> Link:
    wanted = material.tag("model_sha256")
    checked, against = "the bytes of its files in the registry", f"tag model_sha256 {wanted}"
    found = digest_of_files(material.files) if material.files else ""
    problems = differing([("their digest", found, wanted)])
    job = material.job
    if problems and job and job.files and digest_of_files(job.files) == wanted:
        ours, theirs = dict(material.files), dict(job.files)
        names = sorted(n for n in {*ours, *theirs} if ours.get(n) != theirs.get(n))
        problems.append(f"not as the job wrote it: {', '.join(names)}")
    return judged(MODEL, checked, against, problems)


def comparison_finding(material: Material) -> tuple[Link, Mapping[str, Any] | None]:
    """The finding, and the report's document when it holds."""
    wanted = material.tag("report_sha256")
    checked, against = "the bytes of comparison.json in the registry", f"tag report_sha256 {wanted}"
    if COMPARISON in material.unread:
        why = material.unread[COMPARISON]
        return Link(COMPARISON, UNREAD, checked, against, why), None
    found = digest_of_bytes(material.report) if material.report is not None else ""
    problems = differing([("its digest", found, wanted)])
    document = None if problems else document_of(material.report)
    if document is None and not problems:
        problems = ["it is no report of a comparison that agrees with itself"]
    return judged(COMPARISON, checked, against, problems), document


def document_of(report: bytes | None) -> Mapping[str, Any] | None:
    """comparison.json with every field checked; None when it is none."""
    try:
        text = (report or b"").decode("utf-8", "replace")
        document = parse_text(text, "comparison.json", EvidenceError)
        parse_comparison(document)
    except TaxiopsError:
        return None
    return document


def policy_finding(material: Material, compared: Mapping[str, Any] | None) -> Link:
    wanted = material.tag("policy_sha256")
    checked, against = "the policy in comparison.json", f"tag policy_sha256 {wanted}"
    if compared is None:
        return Link(POLICY, UNREAD, checked, against, "it hangs on the comparison")
    found = parse_comparison(compared).policy.sha256()
    return judged(POLICY, checked, against, differing([("its digest", found, wanted)]))


def verdict_finding(material: Material, compared: Mapping[str, Any] | None) -> Link:
    """The verdict's bytes, and that the numbers of the comparison lead to it again."""
    wanted = material.tag(VERDICT_TAG)
    checked = "the bytes of verdict.json in the registry, and the gate asked again"
    against = f"tag {VERDICT_TAG} {wanted}, and comparison.json"
    if VERDICT in material.unread:
        return Link(VERDICT, UNREAD, checked, against, material.unread[VERDICT])
    found = digest_of_bytes(material.verdict) if material.verdict is not None else ""
    problems = differing([("its digest", found, wanted)])
    if problems:
        return judged(VERDICT, checked, against, problems)
    if compared is None:
        return Link(VERDICT, UNREAD, checked, against, "it hangs on the comparison")
    try:
        text = (material.verdict or b"").decode("utf-8", "replace")
        verdict = parse_verdict(parse_text(text, "verdict.json", EvidenceError))
        problems = verdict_problems(material, verdict, parse_comparison(compared))
    except TaxiopsError as error:
        problems = [error.what]
    return judged(VERDICT, checked, against, problems)


def verdict_problems(material: Material, verdict: GateVerdict, comparison: Comparison) -> list[str]:
    decided = decide(comparison, comparison.policy)
    pairs = [
        (name, found, material.tag(name))
        for name, found in (
            ("report_sha256", verdict.report_sha256),
            ("policy_sha256", verdict.policy_sha256),
        )
    ]
    pairs.append(("the gate's answer", decided.verdict, verdict.verdict))
    overridden = tag_text(verdict.overridden_by)
    pairs.append(("who overrode it", overridden, material.tags.get("overridden_by", "none")))
    problems = differing(pairs)
    if not verdict.passed:
        problems.append("the gate refused the candidate")
    return problems


def tags_finding(material: Material, compared: Mapping[str, Any] | None) -> Link:
    """The seal over all tags, and each tag that the comparison or the verdict tells of."""
    tags = material.tags
    problems = problems_of_tags(tags)
    against = f"tag {SEAL}, comparison.json and verdict.json"
    # With a broken seal, even a report that is not the recorded one helps to name the tag.
    document = compared or (document_of(material.report) if problems else None)
    if document is not None:
        expected = promotion_tags(document, digest_of_bytes(material.report or b""), "")
        expected[VERDICT_TAG] = digest_of_bytes(material.verdict) if material.verdict else ""
        told = {name: value for name, value in expected.items() if name not in (SEAL, "run_id")}
        if compared is not None and not problems:
            # The verdict has a link of its own.
            del told[VERDICT_TAG]
        wrong = [name for name, value in sorted(told.items()) if tags.get(name, "") != value]
        problems += [
            f"tag {name} is {tags.get(name) or 'missing'}, the evidence says {told[name] or 'none'}"
            for name in wrong
        ]
        if problems and not wrong:
            others = sorted(set(tags) - set(told) - {SEAL})
            problems.append(f"the evidence confirms every tag but these: {', '.join(others)}")
    return judged(VERSION, f"its {len(tags)} tags", against, problems)
