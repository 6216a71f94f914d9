"""Connecting: what Azure demands, whom a process trusts, what is uploaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from taxiops.cloud import local
from taxiops.cloud.client import connect
from taxiops.cloud.snapshot import code_snapshot
from taxiops.config import load_settings
from taxiops.errors import StepFailed, UsageError

CERTIFICATE = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


def emulator(folder: Path, name: str) -> local.Emulator:
    authority = folder / name / "ca.pem"
    authority.parent.mkdir(parents=True, exist_ok=True)
    authority.write_text(CERTIFICATE.format(name), encoding="ascii")
    return local.Emulator("https://127.0.0.1:1", "", "", authority, "t", "c", "s")


def test_azure_without_subscription_and_group_is_refused_by_name(tmp_path: Path) -> None:
    settings = load_settings({"cloud": "azure"}, {}, tmp_path)
    with pytest.raises(UsageError, match="AZURE_SUBSCRIPTION_ID and AML_DEV_RESOURCE_GROUP"):
        connect("azure", "dev", settings)


def test_azure_is_reached_without_an_emulator(tmp_path: Path) -> None:
    environ = {"AZURE_SUBSCRIPTION_ID": "s", "AML_PROD_RESOURCE_GROUP": "g"}
    settings = load_settings({"cloud": "azure", "env": "prod"}, environ, tmp_path)
    connection = connect("azure", "prod", settings)
    assert connection.workspace.workspace_name == "mlwprodcc01"
    assert connection.workspace.subscription_id == "s"
    assert not settings.emulator_state.exists()


def test_importing_the_room_does_not_import_azure() -> None:
    text = (
        "import sys, taxiops.cloud, taxiops.cloud.endpoints, taxiops.workflows.deploy\n"
        "assert not [n for n in sys.modules if n == 'azure' or n.startswith('azure.')]"
    )
    subprocess.run([sys.executable, "-c", text], check=True)


def test_the_bundle_keeps_whom_the_process_trusted_before(tmp_path: Path) -> None:
    own = tmp_path / "own.pem"
    own.write_text(CERTIFICATE.format("own"), encoding="ascii")
    environ = {"REQUESTS_CA_BUNDLE": str(own)}
    local.trust(emulator(tmp_path, "one"), environ)
    local.trust(emulator(tmp_path, "two"), environ)
    text = Path(environ["REQUESTS_CA_BUNDLE"]).read_text(encoding="ascii")
    assert [name for name in ("own", "one", "two") if f"\n{name}\n" in text] == [
        "own",
        "one",
        "two",
    ]
    assert environ["SSL_CERT_FILE"] == environ["REQUESTS_CA_BUNDLE"]


def test_trusting_twice_changes_nothing(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    bundle = local.trust(emulator(tmp_path, "one"), environ)
    before = bundle.read_bytes()
    assert local.trust(emulator(tmp_path, "one"), environ) == bundle
    assert bundle.read_bytes() == before


def test_loopback_is_excepted_from_proxies_beside_what_was(tmp_path: Path) -> None:
    environ = {"NO_PROXY": "corp.example"}
    local.avoid_proxies(environ)
    assert environ["no_proxy"] == environ["NO_PROXY"] == "corp.example,127.0.0.1,localhost"


def test_an_emulator_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder must be", encoding="utf-8")
    environ = {"TAXIOPS_EMULATOR_STATE": str(tmp_path / "state")}
    settings = load_settings({}, environ, tmp_path)
    with pytest.raises(StepFailed, match="did not start"):
        local.finish_start(local.begin_start(settings), settings)


def test_the_snapshot_holds_what_amlignore_lets_through_and_no_more(tmp_path: Path) -> None:
    root = tmp_path / "project"
    for name in (".git/config", "code/a.py", "code/b.pyc", "notes.txt", "pipelines/p.yaml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x", encoding="utf-8")
    (root / ".amlignore").write_text("/*\n!/code/\n*.pyc\n", encoding="utf-8")
    (tmp_path / "secret").write_text("s", encoding="utf-8")
    (root / "code/link.py").symlink_to(tmp_path / "secret")
    with code_snapshot(root, ["pipelines"]) as copy:
        found = {p.relative_to(copy).as_posix() for p in copy.rglob("*") if p.is_file()}
    assert found == {".amlignore", "code/a.py", "pipelines/p.yaml"}


def test_without_amlignore_nothing_is_uploaded(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.amlignore"), code_snapshot(tmp_path):
        pass
