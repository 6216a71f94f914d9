"""Which registry versions may be deployed: promoted, sealed, evidence whole; writes nothing."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from taxiops.cloud import models
from taxiops.cloud.client import Connection
from taxiops.cloud.models import ModelVersion
from taxiops.config import PROD
from taxiops.domain.evidence import (
    VALIDATED,
    WITHDRAWN,
    check_tags,
    digest_of_files,
    is_validated,
    problems_of_tags,
    with_validation,
)
from taxiops.domain.policy import parse_policy
from taxiops.errors import EvidenceError, NotFound, TaxiopsError, UsageError
from taxiops.workflows.documents import Progress, entries_of_folder
from taxiops.workflows.known_names import VERSIONS, remember
from taxiops.workflows.rollouts.record import ModelReference


def digest_of_folder(folder: Path) -> str:
    """The digest of a model folder: over path and SHA-256 of each of its files."""
    return digest_of_files(entries_of_folder(folder))


def model_of(connection: Connection, version: ModelVersion) -> ModelReference:
    """The version with the digest that its evidence claims."""
    registry = connection.settings.registry
    digest = version.tags.get("model_sha256", "")
    return ModelReference(registry, version.name, version.version, digest)


def list_promoted(connection: Connection) -> list[ModelVersion]:
    """Every version of the model in the registry, the newest first."""
    found = models.list_versions(connection.registry, connection.settings.model_name)
    names = {each.version: each.tags.get("commit", "") for each in found}
    remember(connection.settings, VERSIONS, names)
    return found


def choose_version(
    connection: Connection, model_version: str | None, commit: str | None, progress: Progress
) -> ModelVersion:
    """The version to deploy: the one asked for, else the newest whose evidence verifies.

    In Prod that is none whose gate was overridden, unless the policy allows it. Raises NotFound
    when there is none, EvidenceError when the one asked for does not verify.
    """
    promoted = list_promoted(connection)
    if model_version is not None:
        return verified(find_number(promoted, model_version, connection))
    if commit is not None:
        return verified(find_commit(promoted, commit))
    found = newest_verified(fit_for(connection, promoted, progress), progress)
    if found is None:
        name, registry = connection.settings.model_name, connection.settings.registry
        raise NotFound(
            f"Registry {registry} has no promoted version of {name} whose evidence verifies.",
            hint="taxiops compare, then taxiops gate, then taxiops promote",
            code="nothing-promoted",
        )
    return found


def newest_validated(connection: Connection, progress: Progress) -> ModelVersion:
    """The newest version that Dev validated and `choose_version` would take; raises NotFound."""
    validated = [each for each in list_promoted(connection) if is_validated(each.tags)]
    found = newest_verified(fit_for(connection, validated, progress), progress)
    if found is None:
        raise NotFound(
            f"Registry {connection.settings.registry} has no version of "
            f"{connection.settings.model_name} that was validated in Dev.",
            why="A version counts as validated once all of Dev's traffic goes to it.",
            hint="taxiops traffic promote --env dev",
            code="nothing-validated",
        )
    return found


def note_validation(
    connection: Connection, model: ModelReference, value: str, progress: Progress
) -> None:
    """Say in the registry that Dev validated the version, or withdraw that.

    The traffic has moved by then, so that a registry that cannot be written is told, not raised.
    """
    try:
        version = models.read_version(connection.registry, model.name, model.version)
        if version is None:
            return
        is_withdrawal = value.startswith(WITHDRAWN)
        if is_validated(version.tags) is not is_withdrawal:
            return
        tags = with_validation(version.tags, value)
        models.write_tags(connection.registry, model.name, model.version, tags)
        progress(f"{model.name} version {model.version}: {VALIDATED} {value}")
    except TaxiopsError as error:
        progress(f"the registry does not say {VALIDATED} of version {model.version}: {error.what}")


def newest_verified(promoted: Iterable[ModelVersion], progress: Progress) -> ModelVersion | None:
    """The newest version whose evidence verifies; says which it passes over."""
    for version in promoted:
        problems = problems_of_tags(version.tags)
        if not problems:
            return version
        progress(f"passing over version {version.version}: {problems[0]}")
    return None


def fit_for(
    connection: Connection, promoted: Sequence[ModelVersion], progress: Progress
) -> Iterator[ModelVersion]:
    """The versions that the connection's environment takes; says which it passes over."""
    for version in promoted:
        try:
            check_override(connection, version)
        except EvidenceError as error:
            progress(f"passing over version {version.version}: {error.what}")
        else:
            yield version


def find_number(
    promoted: Sequence[ModelVersion], model_version: str, connection: Connection
) -> ModelVersion:
    for version in promoted:
        if version.version == model_version:
            return version
    known = ", ".join(version.version for version in promoted[:10]) or "none"
    raise NotFound(
        f"Registry {connection.settings.registry} has no version {model_version} of "
        f"{connection.settings.model_name}.",
        hint=f"Versions there: {known}.",
        code="version-missing",
    )


def find_commit(promoted: Sequence[ModelVersion], commit: str) -> ModelVersion:
    """The newest version from the commit, which may be abbreviated to seven characters or more."""
    if len(commit) < 7:
        raise UsageError(f"--commit {commit}: give at least seven characters.")
    for version in promoted:
        if version.tags.get("commit", "").startswith(commit.lower()):
            return version
    raise NotFound(
        f"No version in the registry was promoted from commit {commit}.",
        hint="taxiops deploy without --commit takes the newest.",
        code="version-missing",
    )


def verified(version: ModelVersion) -> ModelVersion:
    """The version itself; raises EvidenceError when its evidence is missing or broken."""
    check_tags(version.tags, f"{version.name} version {version.version}")
    return version


def check_override(connection: Connection, version: ModelVersion) -> None:
    """Raises EvidenceError for Prod and an overridden gate, unless the policy allows that."""
    by = version.tags.get("overridden_by", "")
    if not by or connection.environment.name != PROD:
        return
    if parse_policy(connection.settings.tables["gate"]).allow_override_in_prod:
        return
    raise EvidenceError(
        f"{version.name} version {version.version} is not for Prod: its gate was overridden.",
        why=f"{by} let it pass: {version.tags.get('override_reason', '')}",
        hint="Promote a version that passes the gate, or set allow_override_in_prod = true in "
        "[tool.taxiops.gate] by a reviewed change.",
        code="overridden-in-prod",
    )
