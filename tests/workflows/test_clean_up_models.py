"""Retention as a machine: whatever happens around it, no version that anything needs is deleted."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taxiops.cloud.views import EndpointView, SlotView
from taxiops.config import load_settings
from taxiops.domain.cleanup_plan import PlanFile, parse_cleanup_plan
from taxiops.domain.outcome_files import CleanupReport
from taxiops.domain.retention import (
    DELETED,
    FAILED,
    KEPT,
    PIN,
    ModelVersion,
    RetentionPolicy,
    Use,
    plan_cleanup,
    protections,
    reference_of,
)
from taxiops.domain.state_file import PHASES, ModelReference
from taxiops.errors import NotFound, StepFailed, TaxiopsError, UsageError
from taxiops.workflows.clean_up_models import CI_VARIABLES, refuse_in_ci
from taxiops.workflows.deletions import Outcomes, World, carry_out
from taxiops.workflows.documents import write_document
from taxiops.workflows.evidence.ledger import Ledger
from taxiops.workflows.in_use import refusing, uses_of_endpoint, uses_of_state
from taxiops.workflows.rollouts.record import Record

MODEL, DIGEST = "taxi-class-dev", "sha256:" + "0" * 64
# How a deployment may refer to a version: registry and workspace ids, the short form, or only tags.
SPELLINGS = (
    "azureml://registries/r/models/{m}/versions/{v}",
    "/subscriptions/s/resourceGroups/g/providers/x/workspaces/w/models/{m}/versions/{v}",
    "/subscriptions/s/resourceGroups/g/providers/x/workspaces/w/Models/{M}/Versions/{v}/",
    "azureml:{m}:{v}",
    "",
)


def ignore(*_: str) -> None:
    """Notes that nobody reads."""


def record(env: str, endpoint: str, version: str, chance: random.Random) -> Record:
    return Record(
        environment=env,
        endpoint=endpoint,
        slot="blue",
        phase=chance.choice(PHASES),
        first_deployment=False,
        prior_traffic={"green": 100},
        prior_mirror={},
        model=ModelReference("r", MODEL, version, DIGEST),
        commit="c",
        run_id="1",
    )


@dataclass
class Desk:
    """A registry and two workspaces in memory, in which others act within every call of ours.

    needed: what a version is needed for now, kept beside the documents that say so.
    at_look: the same when the uses were read last, and how the asset read last was.
    """

    chance: random.Random
    versions: dict[str, ModelVersion] = field(default_factory=dict)
    places: dict[tuple[str, str], EndpointView] = field(default_factory=dict)
    needed: dict[tuple[str, ...], str] = field(default_factory=dict)
    at_look: frozenset[str] = frozenset()
    read: ModelVersion | None = None
    fails: frozenset[str] = frozenset()
    blind_after: int = 99
    looks: int = 0

    def any_version(self) -> str:
        return self.chance.choice(sorted(self.versions) or ["1"])

    def register(self) -> None:
        spelling = self.chance.choice(["{}", "{}", "{}", "0{}", "v{}"])
        version = spelling.format(self.chance.randint(1, 14))
        tags = {PIN: "audit"} if self.chance.random() < 0.1 else {}
        self.versions.setdefault(version, ModelVersion(version, tags, f"p{self.chance.random()}"))

    def deploy(self) -> None:
        """A deployment, of a slot that may have held another version; by ours or by others."""
        env, name = self.chance.choice(["dev", "prod"]), self.chance.choice(["a", "b"])
        slot, version = self.chance.choice(["blue", "green"]), self.any_version()
        text = self.chance.choice(SPELLINGS).format(m=MODEL, M=MODEL.upper(), v=version)
        tags = {} if text else {"model": MODEL, "model_version": version}
        found = self.places.get((env, name)) or EndpointView(name, {}, {}, {}, "Succeeded", "", "")
        made = SlotView(slot, text, self.chance.choice(["Succeeded", "Creating"]), tags, "", 1, "")
        self.places[env, name] = replace(found, slots={**found.slots, slot: made})
        self.needed[env, name, slot] = version

    def begin_rollout(self) -> None:
        """An endpoint that tells what is rolled out, whether or not there is a slot yet."""
        env, name, version = self.chance.choice(["dev", "prod"]), "a", self.any_version()
        found = self.places.get((env, name)) or EndpointView(name, {}, {}, {}, "Succeeded", "", "")
        tags = record(env, name, version, self.chance).tags()
        self.places[env, name] = replace(found, tags=tags)
        self.needed[env, name] = version

    def remove_endpoint(self) -> None:
        for place in list(self.places)[:1]:
            del self.places[place]
            self.needed = {key: v for key, v in self.needed.items() if key[:2] != place}

    def pin(self) -> None:
        version = self.any_version()
        if version in self.versions:
            self.versions[version] = replace(self.versions[version], tags={PIN: "now"})

    def make_anew(self) -> None:
        version = self.any_version()
        if version in self.versions:
            self.versions[version] = ModelVersion(version, {}, f"q{self.chance.random()}")

    def lose(self) -> None:
        self.versions.pop(self.any_version(), None)

    def others_act(self, likely: float = 0.4) -> None:
        acts: list[Callable[[], None]] = [self.deploy, self.begin_rollout, self.register]
        acts += [self.remove_endpoint, self.pin, self.make_anew, self.lose]
        while self.chance.random() < likely:
            self.chance.choice(acts)()

    def uses(self) -> list[Use]:
        self.others_act()
        self.looks += 1
        if self.looks > self.blind_after:
            raise NotFound("The workspace is gone.")
        self.at_look = frozenset(self.needed.values())
        return [
            use for (env, _), view in self.places.items() for use in uses_of_endpoint(env, view)
        ]

    def version(self, version: str) -> ModelVersion | None:
        self.others_act(0.1)
        self.read = self.versions.get(version)
        return self.read

    def world(self, delete: Callable[[str], None]) -> World:
        return World(self.others_act, self.version, self.uses, delete)


def number(version: str) -> int:
    return int(version) if version.isdecimal() else 0


@settings(max_examples=3000)
@given(seed=st.integers(0, 2**32), keep=st.integers(1, 4))
def test_whatever_others_do_meanwhile_no_needed_pinned_or_new_version_is_deleted(
    seed: int, keep: int
) -> None:
    chance = random.Random(seed)
    desk = Desk(chance, blind_after=chance.choice([99, 99, 3]))
    for act in (desk.register,) * 12 + (desk.deploy,) * 4 + (desk.begin_rollout,) * 2:
        if chance.random() < 0.7:
            act()
    desk.fails = frozenset(v for v in desk.versions if chance.random() < 0.1)
    planned = dict(desk.versions)
    protected = protections(MODEL, desk.uses())
    plan = plan_cleanup(list(planned.values()), protected, RetentionPolicy(keep))
    agreed = PlanFile(MODEL, "registry r", keep, plan, "2026-01-02T03:04:05Z", "ada")
    gone: list[str] = []

    def delete(version: str) -> None:
        assert desk.read is not None
        assert desk.read.version == version, "deleted without looking just before"
        if version in desk.fails:
            raise StepFailed("The service refuses.")
        needed = {number(each) or each for each in desk.at_look}
        assert (number(version) or version) not in needed
        assert PIN not in desk.versions[version].tags
        assert desk.versions[version] == planned[version], "another version under its number"
        assert version.isdecimal()
        assert len([v for v in plan.newest if number(v) >= number(version)]) == keep
        del desk.versions[version]
        gone.append(version)

    outcomes: Outcomes = {}
    try:
        carry_out(parse_cleanup_plan(agreed.document()), desk.world(delete), outcomes, ignore)
    except NotFound:
        assert desk.looks > desk.blind_after
    else:
        # Who took one by other tools, after the last look and before it was gone, must be told.
        taken = {version for version in gone if version in desk.needed.values()}
        assert all(outcomes[version][0] == FAILED for version in taken)
    assert set(outcomes) == set(plan.to_delete)
    assert gone == [version for version in plan.to_delete if version in gone], "the oldest first"
    for version, (action, reason) in outcomes.items():
        assert reason
        assert (action == DELETED) <= (version in gone or reason == "is gone already")
        assert (version in gone) <= (action != KEPT)


def agreed_on(*versions: str, keep: int = 1, pinned: tuple[str, ...] = ()) -> PlanFile:
    found = [ModelVersion(each, {PIN: "x"} if each in pinned else {}) for each in versions]
    plan = plan_cleanup(found, {}, RetentionPolicy(keep))
    return PlanFile(MODEL, "registry r", keep, plan, "2026-01-02T03:04:05Z", "ada")


def carried(agreed: PlanFile, **world: Callable[..., object]) -> Outcomes:
    """What becomes of a plan in a world that is as it was, but for what is given."""
    outcomes: Outcomes = {}
    asked: dict[str, object] = {
        "check": lambda: None,
        "version": ModelVersion,
        "uses": list,
        "delete": ignore,
        **world,
    }
    carry_out(agreed, World(**asked), outcomes, ignore)  # type: ignore[arg-type]
    return outcomes


def test_a_failed_deletion_is_told_and_does_not_stop_the_others() -> None:
    def delete(version: str) -> None:
        if version == "2":
            raise StepFailed("No.", why="Busy.")

    outcomes = carried(agreed_on("1", "2", "3", "4"), delete=delete)
    assert outcomes["2"] == (FAILED, "No. Busy.")
    assert [outcomes[version][0] for version in ("1", "3")] == [DELETED, DELETED]


def test_a_plan_is_resumed_where_it_stopped() -> None:
    left = {"2", "3"}
    outcomes = carried(
        agreed_on("1", "2", "3"), version=lambda v: ModelVersion(v) if v in left else None
    )
    assert outcomes == {
        "1": (DELETED, "is gone already"),
        "2": (DELETED, "1 newer versions, and nothing uses it"),
    }


def test_a_version_that_somebody_deploys_at_that_very_moment_is_told_as_a_failure() -> None:
    looks = iter([[], [Use(MODEL, "1", "deployed in prod: e/blue")]])
    outcomes = carried(agreed_on("1", "2"), uses=lambda: next(looks))
    action, reason = outcomes["1"]
    assert action == FAILED
    assert "deployed in prod: e/blue took it meanwhile" in reason


def test_nothing_is_deleted_once_the_newest_are_fewer_than_were_to_stay() -> None:
    outcomes = carried(
        agreed_on("1", "2", "3"), version=lambda v: ModelVersion(v) if v != "3" else None
    )
    assert {action for action, _ in outcomes.values()} == {KEPT}


def test_what_was_seen_in_use_once_stays_although_a_later_answer_is_empty() -> None:
    looks = iter([[Use(MODEL, "2", "deployed")], [], []])
    outcomes = carried(agreed_on("1", "2", "3"), uses=lambda: next(looks))
    assert outcomes["2"] == (KEPT, "since the plan: deployed")


def test_a_use_that_does_not_tell_its_version_stops_everything() -> None:
    with pytest.raises(StepFailed, match="Nobody can tell"):
        protections(MODEL, [Use(*reference_of(f"azureml:{MODEL}@latest"), "deployed")])
    label = f"azureml://registries/r/models/{MODEL}/labels/latest"
    with pytest.raises(StepFailed, match="Nobody can tell"):
        protections(MODEL, [Use(*reference_of(label), "deployed")])


@pytest.mark.parametrize("text", ["", "azureml://datastores/d/paths/x", "mlflow-model", "a:1"])
def test_what_names_no_registered_model_needs_none(text: str) -> None:
    assert reference_of(text) == ("", "")


def test_a_rollout_whose_tags_were_damaged_stops_everything() -> None:
    tags = record("dev", "a", "1", random.Random(1)).tags()
    del tags["taxiops_model_version"]
    with pytest.raises(UsageError, match="taxiops_model_version is missing"):
        list(uses_of_endpoint("dev", EndpointView("a", {}, {}, tags, "", "", "")))


def test_what_cannot_be_read_refuses_the_whole_with_its_own_exit_code() -> None:
    with pytest.raises(NotFound, match=r"Nothing is deleted\.") as caught, refusing("Prod"):
        raise NotFound("No workspace.", code="azure-not-found")
    assert (caught.value.why, caught.value.code) == ("No workspace.", "azure-not-found")
    assert isinstance(caught.value.__cause__, TaxiopsError)


@pytest.mark.parametrize("name", CI_VARIABLES)
def test_any_runner_is_refused(name: str) -> None:
    refuse_in_ci({name: "false"})
    with pytest.raises(UsageError, match="from CI"):
        refuse_in_ci({name: "yes"})
    assert CleanupReport(True, 1, ()).dry_run


def test_what_the_state_file_here_tells_of_is_needed_too(tmp_path: Path) -> None:
    settings_here = load_settings({}, {}, tmp_path)
    path = Ledger(settings_here, "dev", "a").own_state_file
    assert list(uses_of_state(settings_here, "dev")) == []
    told = record("dev", "taxi-class-dev", "7", random.Random(1))
    for phase, versions in (("canary", ["7"]), ("rolled_back", [])):
        write_document(path, {**told.at(phase).document({"blue": 100}), "tested": "no"})
        assert [use.version for use in uses_of_state(settings_here, "dev")] == versions
    path.write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match="no complete JSON"):
        list(uses_of_state(settings_here, "dev"))
