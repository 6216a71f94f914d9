"""The doctor: faults inflicted on the emulator and on this machine, and what it says of each."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pytest_mock import MockerFixture

from taxiops.cloud import probing
from taxiops.cloud.lease import acquire
from taxiops.cloud.store import open_store
from taxiops.config import Settings
from taxiops.emulator import server
from taxiops.errors import NotAuthorised, UsageError
from taxiops.workflows import emulator
from taxiops.workflows.checks.cloud import check_emulator, clock_finding, permission_finding
from taxiops.workflows.checks.finding import ERROR, OK, UNKNOWN, WARNING, Check, Subject, fine
from taxiops.workflows.checks.here import LOCAL_CHECKS, check_github, check_names, workflow_names
from taxiops.workflows.diagnose import Diagnosis, diagnose, examined, misconfigured
from taxiops.workflows.rollouts.rollout import connect_to

from .test_status import SOMEBODY

if TYPE_CHECKING:
    from conftest import World

ROOT = Path(__file__).parents[2]
TAXIOPS = Path(sys.executable).with_name("taxiops")
FAMILY, DEFAULT_LIMIT = "standardDSv2Family", 400
Inflict = Callable[..., None]


def ignore(_: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture
def settings(world: "World", monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(ROOT)
    return naming_env(world.settings(endpoint="doctor"), "default")


def naming_env(settings: Settings, origin: str) -> Settings:
    """The settings with Dev chosen by this origin."""
    env = replace(settings.values["env"], origin=origin)
    return replace(settings, values={**settings.values, "env": env})


@pytest.fixture
def inflict(world: "World") -> Iterator[Inflict]:
    def add(kind: str, on: str, **details: Any) -> None:
        server.fault(
            world.state, {"kind": kind, "on": on, "count": 0, **details}, is_clearing=False
        )

    yield add
    server.fault(world.state, None, is_clearing=True)
    server.set_quota(world.state, FAMILY, DEFAULT_LIMIT)


def problems(diagnosis: Diagnosis) -> dict[str, str]:
    """Check -> severity, of all that is not fine here: the copy of the project has no commit."""
    return {
        name: each.severity
        for name, each in diagnosis.findings
        if each.severity != OK and name != "project"
    }


def test_a_release_could_run_and_every_check_says_what_it_saw(settings: Settings) -> None:
    diagnosis = diagnose(settings, ignore)
    assert problems(diagnosis) == {}
    assert (diagnosis.exit_code, diagnosis.next_command) == (0, "taxiops release")
    told = {name: each.what for name, each in diagnosis.findings}
    assert told["dev permissions"] == "on mlrdevcc01: all 3 actions of a release are allowed"
    assert told["quota"].startswith("local: 400 of 400 cores")
    document = diagnosis.document()
    assert document["can_release"] is True
    assert all(each["severity"] == OK or each["remedy"] for each in document["findings"])


def test_one_named_environment_is_asked_alone(settings: Settings) -> None:
    diagnosis = diagnose(naming_env(settings, "option --env"), ignore)
    names = [name for name, _ in diagnosis.findings]
    assert "dev workspace" in names
    assert "prod workspace" not in names


@pytest.mark.parametrize(
    ("kind", "on", "target", "expected", "exit_code"),
    [
        ("missing", "GET workspaces", "mlwprodcc01", {"prod workspace": ERROR}, 5),
        ("missing", "GET computes", "aml-cluster-dev-cc01", {"dev compute": ERROR}, 5),
        ("missing", "GET computes", "aml-cluster-prod-cc01", {"prod compute": WARNING}, 0),
        ("forbidden", "GET workspaces", "mlwdevcc01", {"dev workspace": ERROR}, 4),
        ("forbidden", "GET permissions", "mlwdevcc01", {"dev permissions": WARNING}, 0),
        ("forbidden", "GET onlineEndpoints", "mlwprodcc01", {"prod endpoint": ERROR}, 4),
        ("forbidden", "POST listSecrets", "*", {"dev store": WARNING, "prod store": WARNING}, 0),
    ],
)
def test_a_fault_is_found_and_stops_no_other_check(
    settings: Settings,
    inflict: Inflict,
    kind: str,
    on: str,
    target: str,
    expected: dict[str, str],
    exit_code: int,
) -> None:
    inflict(kind, on, target=target)
    diagnosis = diagnose(settings, ignore)
    found = problems(diagnosis)
    assert {name: severity for name, severity in found.items() if severity != UNKNOWN} == expected
    assert diagnosis.exit_code == exit_code
    assert len({name for name, _ in diagnosis.findings}) == 21, "every check has its say"


def test_the_quota_for_the_next_slots_is_asked(
    world: "World", settings: Settings, inflict: Inflict
) -> None:
    server.set_quota(world.state, FAMILY, 8)
    diagnosis = diagnose(settings, ignore)
    assert problems(diagnosis) == {"quota": ERROR}
    assert diagnosis.errors[0].what.endswith("the next release takes 16.")
    server.set_quota(world.state, FAMILY, 16)
    assert problems(diagnose(settings, ignore)) == {"quota": WARNING}


def test_a_rollout_under_way_is_named(settings: Settings) -> None:
    store = open_store(connect_to(settings, "dev"))
    lease = acquire(store, "doctor", SOMEBODY, "11111111-2222-3333-4444-555555555556")
    try:
        diagnosis = diagnose(settings, ignore)
    finally:
        lease.release()
    assert problems(diagnosis)["dev store"] == ERROR
    assert diagnosis.exit_code == 9
    assert "changed by ada on elsewhere (deploy)" in diagnosis.errors[0].what


def test_a_clock_that_is_wrong_is_found_by_the_servers_own(
    settings: Settings, mocker: MockerFixture
) -> None:
    mocker.patch.object(probing.time, "time", return_value=0.0)
    reached = probing.reach(connect_to(settings, "dev").arm, os.environ["SSL_CERT_FILE"])
    finding = clock_finding(reached)
    assert (finding.severity, finding.exit_code) == (ERROR, 4)
    assert "behind" in finding.what
    seconds = ((None, OK), (1.0, OK), (-31.0, WARNING), (299.0, WARNING), (301.0, ERROR))
    for skew_s, severity in seconds:
        assert clock_finding(probing.Reached("u", skew_s)).severity == severity


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 99 Nov 2026 10:00:00 GMT"])
def test_a_server_without_a_time_tells_nothing(date: str) -> None:
    assert probing.skew(date, 0.0) is None


def test_a_missing_role_is_told_with_the_command_that_gives_it(
    settings: Settings, mocker: MockerFixture
) -> None:
    grants = {"value": [{"actions": ["*/read"], "notActions": []}]}
    mocker.patch.object(probing, "read_permissions", return_value=grants)
    connection = connect_to(settings, "dev")
    resource = probing.workspace_id(connection)
    finding = permission_finding(connection, resource, ["workspaces/read", "workspaces/jobs/write"])
    assert finding.what == "on mlwdevcc01: not allowed: workspaces/jobs/write"
    assert f'--role "AzureML Data Scientist" --scope {resource}' in finding.remedy
    assert finding.exit_code == 4


def test_a_check_that_breaks_is_a_finding_and_what_needs_it_is_not_asked(
    settings: Settings,
) -> None:
    def breaks(_: Subject) -> list[Any]:
        raise ZeroDivisionError("never mind")

    def refuses(_: Subject) -> list[Any]:
        raise NotAuthorised("No.", hint="az login")

    checks = (
        Check("one", breaks),
        Check("two", lambda _: [fine("well")], ("one",)),
        Check("three", refuses),
        Check("four", lambda _: [fine("well")]),
    )
    diagnosis = examined(Subject(settings, {}), checks, ignore)
    severities = [each.severity for _, each in diagnosis.findings]
    assert severities == [ERROR, UNKNOWN, ERROR, OK]
    assert "ZeroDivisionError: never mind" in diagnosis.findings[0][1].what
    assert diagnosis.findings[2][1].remedy == "az login"


def test_settings_that_cannot_be_read_are_a_finding() -> None:
    diagnosis = misconfigured(UsageError("x is no name.", hint="taxiops config show"))
    assert (diagnosis.exit_code, diagnosis.next_command) == (2, "taxiops config show")


def test_names_that_azure_would_refuse_are_told_with_their_variable(settings: Settings) -> None:
    dev = replace(settings.dev, workspace="a b", compute="-c", resource_group="ends.")
    asked = Subject(replace(settings, dev=dev, registry="r", cloud="azure"), {})
    remedies = {each.remedy for each in check_names(asked) if each.severity == ERROR}
    variables = ("REGISTRY", "WORKSPACE", "COMPUTE", "RESOURCE_GROUP")
    assert remedies == {f"export AML_DEV_{name}=..." for name in variables}
    same = Subject(replace(settings, prod=replace(settings.dev, name="prod")), {})
    assert "the same workspace" in check_names(same)[0].what


def test_what_a_workflow_names_must_be_set_on_a_runner(settings: Settings) -> None:
    here = replace(settings, root=ROOT)
    assert workflow_names(ROOT)["AML_PROD_RESOURCE_GROUP"] == "vars"
    told = check_github(Subject(here, {}))[0]
    assert (told.severity, "secrets.AZURE_TENANT_ID" in told.what) == (OK, True)
    runner = {"GITHUB_ACTIONS": "true", "AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t"}
    finding = check_github(Subject(replace(here, cloud="azure"), runner))[0]
    assert finding.severity == ERROR
    assert finding.what.endswith(
        "vars.AML_DEV_RESOURCE_GROUP, vars.AML_PROD_RESOURCE_GROUP, secrets.AZURE_SUBSCRIPTION_ID"
    )
    assert finding.remedy == "gh variable set AML_DEV_RESOURCE_GROUP"


def test_a_folder_that_cannot_be_written_is_found(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    asked = Subject(replace(settings, output=tmp_path / "file" / "artifacts"), {})
    disk = next(check for check in LOCAL_CHECKS if check.name == "disk")
    assert (disk.ask(asked)[0].severity, disk.ask(asked)[0].code) == (ERROR, "output-unwritable")


def test_an_emulator_of_another_format_is_told_with_its_remedy(
    settings: Settings, tmp_path: Path
) -> None:
    for name, text in (("emulator.db", ""), ("format", "0")):
        (tmp_path / name).write_text(text, encoding="ascii")
    (finding,) = check_emulator(Subject(replace(settings, emulator_state=tmp_path), {}))
    assert (finding.severity, finding.remedy) == (ERROR, "taxiops emulator reset")


def doctor(world: "World", **variables: str) -> tuple[int, dict[str, Any]]:
    """The installed program as Azure's client, with the emulator in Azure's place."""
    pointed = emulator.exec_environment(world.settings())
    azure = {
        "TAXIOPS_CLOUD": "azure",
        "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000000",
        "AML_DEV_RESOURCE_GROUP": "rg-local-dev",
        "AML_PROD_RESOURCE_GROUP": "rg-local-prod",
        "TAXIOPS_OUTPUT": str(world.output),
    }
    inherited = {k: v for k, v in os.environ.items() if k != "AZUREML_CURRENT_CLOUD"}
    done = subprocess.run(
        [str(TAXIOPS), "doctor", "--json"],
        cwd=ROOT,
        env={**inherited, **pointed, **azure, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, json.loads(done.stdout)


def test_a_wrong_secret_is_exit_4_and_what_builds_on_it_is_not_asked(world: "World") -> None:
    code, document = doctor(world, AZURE_CLIENT_SECRET="wrong")
    assert code == 4
    found = {each["check"]: each for each in document["findings"]}
    assert found["credentials"]["severity"] == ERROR
    assert found["credentials"]["exit_code"] == 4
    assert found["credentials"]["remedy"]
    assert found["dev workspace"]["severity"] == UNKNOWN
    assert "wrong" not in json.dumps(document)


def test_a_workspace_and_a_compute_that_are_not_there_are_found_in_one_go(world: "World") -> None:
    names = {"AML_DEV_COMPUTE": "no-such-compute", "AML_PROD_WORKSPACE": "nosuch"}
    code, document = doctor(world, **names)
    errors = {each["check"]: each for each in document["findings"] if each["severity"] == ERROR}
    assert (code, set(errors)) == (5, {"dev compute", "prod workspace"})
    assert errors["dev compute"]["remedy"] == "export AML_DEV_COMPUTE=..."
    assert "AML_PROD_WORKSPACE" in errors["prod workspace"]["remedy"]
