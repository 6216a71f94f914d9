"""What a diagnosis asks of the cloud: reach, sign-in, clock, resources, permissions, quota."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from taxiops.cloud import endpoints, lease, probing
from taxiops.cloud.client import Connection
from taxiops.cloud.quota import Quota, read_quota
from taxiops.cloud.store import open_store
from taxiops.config import DEV
from taxiops.domain import permissions
from taxiops.errors import ExitCode, NotFound, TaxiopsError
from taxiops.workflows.checks.finding import (
    ERROR,
    UNKNOWN,
    WARNING,
    Check,
    Finding,
    Subject,
    fine,
    found,
)
from taxiops.workflows.rollouts.limits import parse_limits
from taxiops.workflows.rollouts.quota import cores_of_slot

# Tokens that seem to be from the future, or over, are refused after five minutes (Entra ID).
MOST_SKEW_S, NOTABLE_SKEW_S = 300.0, 30.0
SLOTS = 2


def cloud_checks(environments: Sequence[str], *, is_local: bool) -> tuple[Check, ...]:
    """The checks of these environments, in the order in which one builds on another."""
    first = environments[0]
    checks = [Check("emulator", check_emulator)] if is_local else []
    before = "emulator" if is_local else "configuration"
    checks += [
        Check("reach", partial(check_reach, env=first), (before,)),
        Check("credentials", partial(check_credentials, env=first), ("reach",)),
        Check("registry", partial(check_registry, env=first), ("credentials",)),
    ]
    for env in environments:
        workspace = f"{env} workspace"
        checks += [
            Check(workspace, partial(check_workspace, env=env), ("credentials",)),
            Check(f"{env} permissions", partial(check_permissions, env=env), (workspace,)),
            Check(f"{env} compute", partial(check_compute, env=env), (workspace,)),
            Check(f"{env} store", partial(check_store, env=env), (workspace,)),
            Check(f"{env} endpoint", partial(check_endpoint, env=env), (workspace,)),
        ]
    needs = tuple(f"{env} endpoint" for env in environments)
    return (*checks, Check("quota", check_quota, ("configuration", *needs)))


def check_emulator(subject: Subject) -> Sequence[Finding]:
    """Whether it runs or can be started; it says itself when its state is of another format."""
    try:
        arm = subject.connection(subject.environments[0]).arm
    except TaxiopsError as error:
        is_old = "format" in error.why
        return [found(error, "taxiops emulator reset" if is_old else "taxiops emulator logs")]
    return [fine(f"runs at {arm}")]


def check_reach(subject: Subject, env: str) -> Sequence[Finding]:
    """Whether the resource manager and the login answer at all, and what time they have."""
    connection = subject.connection(env)
    addresses = {connection.arm, probing.login_address(connection, subject.environ)}
    findings = []
    for url in sorted(addresses):
        try:
            reached = probing.reach(url, connection.ca_file)
        except TaxiopsError as error:
            findings.append(found(error))
        else:
            findings.append(clock_finding(reached))
    return findings


def clock_finding(reached: probing.Reached) -> Finding:
    """How far this machine's clock is from the server's."""
    if reached.skew_s is None:
        return fine(f"{reached.url} answers; it does not tell its time")
    seconds = abs(reached.skew_s)
    text = f"The clock here is {seconds:.0f} s {'ahead of' if reached.skew_s > 0 else 'behind'} "
    remedy = "timedatectl set-ntp true"
    if seconds > MOST_SKEW_S:
        what = f"{text}{reached.url}: its tokens will be refused."
        return Finding(ERROR, what, remedy, "clock-skew", ExitCode.NOT_AUTHORISED)
    if seconds > NOTABLE_SKEW_S:
        return Finding(WARNING, f"{text}{reached.url}.", remedy, "clock-skew")
    return fine(f"{reached.url} answers; the clocks agree")


def check_credentials(subject: Subject, env: str) -> Sequence[Finding]:
    ends = probing.sign_in(subject.connection(env))
    return [fine(f"signed in; the token lasts until {ends:%H:%M} UTC")]


def check_registry(subject: Subject, env: str) -> Sequence[Finding]:
    connection = subject.connection(env)
    identifier = subject.once("registry", env, lambda: probing.registry_id(connection))
    return [fine(f"{identifier.rpartition('/')[2]} is there")]


def check_workspace(subject: Subject, env: str) -> Sequence[Finding]:
    document = workspace_of(subject, env)
    return [fine(f"{document.get('name')} in {document.get('location')}")]


def workspace_of(subject: Subject, env: str) -> Mapping[str, Any]:
    connection = subject.connection(env)
    identifier = probing.workspace_id(connection)
    try:
        answer: Mapping[str, Any] = subject.once(
            "workspace", env, lambda: probing.read_resource(connection, identifier)
        )
    except NotFound as error:
        hint = f"export AML_{env.upper()}_WORKSPACE=... or AML_{env.upper()}_RESOURCE_GROUP=..."
        raise NotFound(error.what, why=error.why, hint=hint, code=error.code) from error
    return answer


def check_permissions(subject: Subject, env: str) -> Sequence[Finding]:
    """What Azure says this identity may do; roles on blobs the store check tries out.

    On the emulator there is one account, which may do everything.
    """
    connection = subject.connection(env)
    wanted = [(probing.workspace_id(connection), permissions.actions_on_workspace(env))]
    findings = []
    try:
        registry = subject.once("registry", env, lambda: probing.registry_id(connection))
        wanted.append((registry, permissions.actions_on_registry(env)))
    except TaxiopsError as error:
        findings.append(Finding(UNKNOWN, f"on the registry: not asked: {error.what}"))
    return [*(permission_finding(connection, *each) for each in wanted), *findings]


def permission_finding(connection: Connection, resource: str, wanted: Sequence[str]) -> Finding:
    name = resource.rpartition("/")[2]
    try:
        document = probing.read_permissions(connection, resource)
    except TaxiopsError as error:
        text = f"on {name}: Azure does not tell, so the other checks' reading must do: {error.why}"
        return Finding(WARNING, text[:400], code=error.code)
    missing = permissions.missing_actions(permissions.parse_grants(document), wanted)
    if not missing:
        return fine(f"on {name}: all {len(wanted)} actions of a release are allowed")
    is_registry = "/registries/" in resource
    role = permissions.REGISTRY_ROLE if is_registry else permissions.WORKSPACE_ROLE
    who = connection.settings.client_id or "IDENTITY"
    return Finding(
        ERROR,
        f"on {name}: not allowed: {', '.join(missing)}",
        f'az role assignment create --assignee {who} --role "{role}" --scope {resource}',
        "azure-forbidden",
        ExitCode.NOT_AUTHORISED,
    )


def check_compute(subject: Subject, env: str) -> Sequence[Finding]:
    """Dev trains on it; in Prod only jobs of `--as-job` run on one."""
    connection = subject.connection(env)
    name = connection.environment.compute
    try:
        probing.read_resource(connection, f"{probing.workspace_id(connection)}/computes/{name}")
    except NotFound:
        severity = ERROR if env == DEV else WARNING
        text = f"Compute {name} is not there" + ("." if env == DEV else "; --as-job needs it.")
        remedy = f"export AML_{env.upper()}_COMPUTE=..."
        return [Finding(severity, text, remedy, "azure-not-found", ExitCode.NOT_FOUND)]
    return [fine(f"{name} is there")]


def check_store(subject: Subject, env: str) -> Sequence[Finding]:
    """Whether the lease and the history can be read where they lie, and who has the lease."""
    connection = subject.connection(env)
    endpoint = connection.environment.endpoint
    try:
        store = open_store(connection)
        store.names(f"history/{endpoint}/")
        holder = lease.current_holder(store, endpoint)
    except TaxiopsError as error:
        text = f"out of bounds: two rollouts at once would not be kept apart: {error.why or error}"
        remedy = "Give this identity Storage Blob Data Contributor on the default datastore."
        return [Finding(WARNING, text[:400], remedy, error.code)]
    if holder is not None:
        text = f"{endpoint} is being changed by {holder.owner} on {holder.host} ({holder.doing})."
        return [Finding(ERROR, text, "taxiops status", lease.HELD, ExitCode.CONFLICT)]
    return [fine("can be read, and nobody holds the lease")]


def check_endpoint(subject: Subject, env: str) -> Sequence[Finding]:
    """Whether what is there can be rolled out to."""
    connection = subject.connection(env)
    view = subject.once("endpoint", env, lambda: endpoints.glance_at_endpoint(connection))
    if view is None:
        return [fine(f"{connection.environment.endpoint} does not exist yet; a release makes it")]
    problems = [
        f"{slot.name} is {slot.state}" for slot in view.slots.values() if not slot.is_healthy
    ]
    if view.state.lower() not in endpoints.TERMINAL:
        text = f"{view.name} is {view.state}: the service has not finished."
        return [Finding(WARNING, text, f"taxiops traffic show --env {env}")]
    if problems:
        text = f"{view.name}: {', '.join(problems)}."
        return [Finding(WARNING, text, f"taxiops traffic show --env {env}")]
    return [fine(f"{view.name} with {len(view.slots)} slots")]


def check_quota(subject: Subject) -> Sequence[Finding]:
    """Whether the cores suffice for the next slot in each environment, and for blue and green.

    Environments of one region share its quota; capacity is another matter, and nobody can ask.
    """
    limits = parse_limits(subject.settings.tables["rollout"])
    regions: dict[str, list[str]] = {}
    for env in subject.environments:
        regions.setdefault(str(workspace_of(subject, env).get("location", "")), []).append(env)
    findings = []
    for region, envs in regions.items():
        connection = subject.connection(envs[0])
        quota = read_quota(connection, limits.instance_type)
        if quota is None or quota.limit < 0:
            text = f"{region} does not tell the quota of {limits.instance_type}"
            findings.append(Finding(WARNING, text, "az ml compute list-usage"))
            continue
        lacking = [slots_lacking(subject, env) for env in envs]
        findings.append(quota_finding(region, quota, cores_of_slot(limits, quota), lacking))
    return findings


def slots_lacking(subject: Subject, env: str) -> int:
    """How many slots the environment has not got yet of blue and green."""
    connection = subject.connection(env)
    view = subject.once("endpoint", env, lambda: endpoints.glance_at_endpoint(connection))
    return max(0, SLOTS - len(view.slots)) if view else SLOTS


def quota_finding(region: str, quota: Quota, cores: int, lacking: Sequence[int]) -> Finding:
    """cores: what one slot takes. lacking: of each environment, how many slots it has not got."""
    left = quota.limit - quota.used
    soon, whole = cores * sum(map(bool, lacking)), cores * sum(lacking)
    text = f"{region}: {left} of {quota.limit} cores of {quota.family} are left"
    remedy = "taxiops cleanup deployment --slot NAME, or ask for quota (az quota)"
    if left < soon:
        what = f"{text}; the next release takes {soon}."
        return Finding(ERROR, what, remedy, "azure-quota")
    if left < whole:
        return Finding(WARNING, f"{text}; blue and green take {whole}.", remedy, "azure-quota")
    return fine(f"{text}; blue and green take {whole} more")
