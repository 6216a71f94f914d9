"""Which model versions anything needs, in every configured workspace; refuses when unsure."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from taxiops.cloud import endpoints
from taxiops.cloud.views import EndpointView
from taxiops.config import DEV, PROD, Settings
from taxiops.domain.retention import Use, reference_of
from taxiops.errors import NotFound, TaxiopsError
from taxiops.workflows.evidence.ledger import Ledger
from taxiops.workflows.rollouts import record as records
from taxiops.workflows.rollouts.record import read_state_file, record_of_tags
from taxiops.workflows.rollouts.rollout import connect_to


def read_uses(settings: Settings) -> list[Use]:
    """Everything that needs a version: deployments, rollouts and what they go back to.

    Raises what reading a workspace raised, saying that nothing is deleted: what cannot be read may
    need any version.
    """
    found: list[Use] = []
    for env in (DEV, PROD):
        place = settings.environment(env)
        with refusing(f"What workspace {place.workspace} uses"):
            connection = connect_to(settings, env)
            for endpoint in endpoints.list_endpoints(connection):
                found += uses_of_endpoint(env, endpoint)
            for name, model in endpoints.list_batch_models(connection).items():
                found.append(Use(*reference_of(model), f"deployed in {env}: batch {name}"))
        with refusing(f"The last deployment in {env}"):
            found += uses_of_state(settings, env)
    return found


def uses_of_endpoint(env: str, endpoint: EndpointView) -> Iterable[Use]:
    """What its deployments run, by their reference and by their own tags, and its last rollout.

    What a rollback goes back to is one of the deployments. Raises UsageError for a rollout whose
    tags were damaged.
    """
    for slot in endpoint.slots.values():
        why = f"deployed in {env}: {endpoint.name}/{slot.name}"
        yield Use(*reference_of(slot.model), why)
        if slot.tags.get("model") and slot.tags.get("model_version"):
            yield Use(slot.tags["model"], slot.tags["model_version"], why)
    record = record_of_tags(endpoint.tags, env, endpoint.name)
    if record is not None:
        why = f"the last rollout in {env}: {endpoint.name}"
        yield Use(record.model.name, record.model.version, why)


def uses_of_state(settings: Settings, env: str) -> Iterable[Use]:
    """The rollout that this machine's state file tells of, unless it is undone."""
    ledger = Ledger(settings, env, settings.environment(env).endpoint)
    try:
        record = read_state_file(ledger.own_state_file)
    except NotFound:
        return
    if record.phase in records.OPEN:
        why = f"the state file here: {record.phase} in {env}"
        yield Use(record.model.name, record.model.version, why)


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Raise the block's error as the refusal to delete anything, with the same exit code."""
    try:
        yield
    except TaxiopsError as error:
        raise type(error)(
            f"{what} cannot be told, so no version can be called unused. Nothing is deleted.",
            why=f"{error.what} {error.why}".strip(),
            hint=error.hint or "taxiops doctor",
            code=error.code,
            details=error.details,
        ) from error
