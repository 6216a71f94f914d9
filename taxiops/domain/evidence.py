"""Digests, and the chain of them from a model's bytes to its registry tags; reads no file."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from taxiops.domain.fields import SHA256
from taxiops.errors import EvidenceError, UsageError

SEAL = "taxiops_sealed"
# Written when all of Dev's traffic goes to the version; withdrawn when it is rolled back there.
VALIDATED, WITHDRAWN = "validated_in_dev", "withdrawn"
DIGEST_TAGS = ("report_sha256", "policy_sha256", "test_data_sha256", "model_sha256")
PLAIN_TAGS = ("branch", "commit", "comparison_run", "run_id")
FIGURE_TAGS = ("primary_metric", "candidate", "baseline", "change", "ci_low", "ci_high")
# Azure ML takes no empty tag values, so each has a word for nothing.
NOTHING = "none"
# What Azure ML keeps of one tag.
LONGEST_TAG = 256


def canonical_json(document: Any) -> bytes:  # noqa: ANN401 - any JSON
    """The one spelling of a JSON value: sorted names, no blanks, ASCII, shortest numbers.

    Raises UsageError for what JSON cannot hold, NaN and infinities included.
    """
    try:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"No digest can be made: {error}.", code="digest-impossible") from error
    return text.encode("ascii")


def digest_of_bytes(content: bytes) -> str:
    """`sha256:` and the hexadecimal digest of the bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def digest_of_json(document: Any) -> str:  # noqa: ANN401 - any JSON
    """The digest of the canonical content, whatever the file's blanks and order were."""
    return digest_of_bytes(canonical_json(document))


def digest_of_files(entries: Iterable[tuple[str, str]]) -> str:
    """The digest of a folder: of the sorted (relative POSIX path, SHA-256 in hexadecimal) pairs.

    Raises UsageError for no file at all or one path twice.
    """
    pairs = sorted([path, digest] for path, digest in entries)
    if not pairs or len({path for path, _ in pairs}) != len(pairs):
        why = "a path stands there twice" if pairs else "there is no file"
        raise UsageError(f"No digest of the folder can be made: {why}.", code="digest-impossible")
    return digest_of_json(pairs)


def seal_of(tags: Mapping[str, str]) -> str:
    """The digest over all tags but the seal itself."""
    return digest_of_json({name: value for name, value in tags.items() if name != SEAL})


def is_sealed(tags: Mapping[str, str]) -> bool:
    """Whether the seal is there and no tag was edited, added or taken away since."""
    return tags.get(SEAL) == seal_of(tags)


def sealed(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags as the registry keeps them: none empty, none too long, with the seal."""
    kept = {name: tag_text(value) for name, value in tags.items() if name != SEAL}
    return {**kept, SEAL: seal_of(kept)}


def tag_text(value: object) -> str:
    """A value as a tag: text of at most 256 characters, `none` for nothing."""
    text = f"{value:.12g}" if isinstance(value, float) else str(value)
    return text.strip()[:LONGEST_TAG] or NOTHING


def promotion_tags(
    comparison: Mapping[str, Any],
    report_sha256: str,
    run_id: str,
    more: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The sealed tags of a promoted version, from the comparison that passed the gate.

    comparison: a document that parse_comparison accepted. report_sha256: digest_of_json of it.
    run_id: the run that promotes (a CI run's number), empty when a person does. more: further tags
    under the same seal, such as who overrode the gate.
    """
    metric = comparison["primary_metric"]
    figures = comparison["metrics"][metric]
    return sealed(
        {
            **(more or {}),
            "branch": comparison["branch"],
            "commit": comparison["commit"],
            "comparison_run": comparison["job"]["name"],
            "run_id": run_id,
            "primary_metric": metric,
            **{name: tag_text(float(figures[name])) for name in FIGURE_TAGS[1:]},
            "report_sha256": report_sha256,
            "policy_sha256": comparison["policy_sha256"],
            "test_data_sha256": comparison["test_data"]["sha256"],
            "model_sha256": comparison["candidate"]["sha256"],
        }
    )


def problems_of_tags(tags: Mapping[str, str]) -> list[str]:
    """What is wrong with the tags of a promoted version, in sentences; empty when they verify."""
    wanted = (*PLAIN_TAGS, *FIGURE_TAGS, *DIGEST_TAGS, SEAL)
    problems = [f"Tag {name} is missing." for name in wanted if not tags.get(name)]
    problems += [
        f"Tag {name} is no sha256: digest."
        for name in (*DIGEST_TAGS, SEAL)
        if tags.get(name) and not SHA256.fullmatch(tags[name])
    ]
    if not problems and not is_sealed(tags):
        problems.append(f"Tag {SEAL} does not fit the others: one was edited, added or removed.")
    return problems


def with_validation(tags: Mapping[str, str], value: str) -> dict[str, str]:
    """The two tags to write so that `validated_in_dev` says `value` under a seal that fits again.

    Raises EvidenceError for tags that do not verify: what is broken is never sealed again.
    """
    check_tags(tags, "The version")
    named = {**tags, VALIDATED: tag_text(value)}
    return {VALIDATED: named[VALIDATED], SEAL: seal_of(named)}


def is_validated(tags: Mapping[str, str]) -> bool:
    """Whether Dev gave the version all of its traffic and has not taken it back since."""
    value = tags.get(VALIDATED, "")
    return bool(value) and not value.startswith(WITHDRAWN)


def check_tags(tags: Mapping[str, str], subject: str) -> None:
    """Raises EvidenceError naming every problem. subject: such as `taxi-class-dev version 3`."""
    problems = problems_of_tags(tags)
    if problems:
        raise EvidenceError(
            f"{subject}: its evidence does not verify.",
            why=" ".join(problems),
            hint="taxiops promote",
            code="evidence-broken",
        )
