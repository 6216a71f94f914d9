"""The whole state as a file and back, hostile files, and an emulator that stops by itself."""

import io
import json
import os
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taxiops.emulator import archive, server
from taxiops.emulator.archive import DATABASE, MANIFEST
from taxiops.emulator.server import STATE_FORMAT, EmulatorError
from taxiops.emulator.state.storage.store import Store

from .conftest import SEED

SCOPE = "/subscriptions/s/resourcegroups/g/providers/x/workspaces/w"


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """The state folder of a stopped emulator with a document and a blob."""
    state = tmp_path / "state"
    (state / "blobs" / "container").mkdir(parents=True)
    (state / "blobs" / "container" / "a b.txt").write_text("content")
    (state / "blobs" / ".staging").mkdir()
    (state / "blobs" / ".staging" / "half").write_text("not whole")
    (state / "identity.json").write_text('{"client_secret": "hidden"}')
    (state / "emulator.lock").touch()
    store = Store(state / DATABASE)
    store.put("model", SCOPE, "m", {"uri": "https://127.0.0.1:4/container/a"}, "1")
    store.close()
    (state / "format").write_text(STATE_FORMAT)
    return state


def test_what_is_exported_comes_back_without_the_account(filled: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "out.tar.gz", tmp_path / "other"
    told = archive.export_state(filled, file)
    assert file.stat().st_mode & 0o077 == 0
    assert told["files"] == 2
    archive.import_state(other, file)
    assert (other / "blobs" / "container" / "a b.txt").read_text() == "content"
    assert not (other / "blobs" / ".staging").exists()
    assert not (other / "identity.json").exists()
    assert server.check_format(other) == ""
    store = Store(other / DATABASE)
    assert store.get("model", SCOPE, "m", "1") == {"uri": "https://127.0.0.1:4/container/a"}
    store.close()
    with pytest.raises(EmulatorError, match="exists"):
        archive.export_state(filled, file)
    with pytest.raises(EmulatorError, match="reset"):
        archive.import_state(other, file)


def member(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    found = tarfile.TarInfo(name)
    found.size = len(data)
    for key, value in fields.items():
        setattr(found, key, value)
    return found, data


def manifest(files: object, size: object, form: object = STATE_FORMAT) -> bytes:
    return json.dumps({"format": form, "files": files, "bytes": size}).encode()


def write(file: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(file, "w:gz") as tar:
        for each, data in members:
            tar.addfile(each, io.BytesIO(data))
    return file


HOSTILE: dict[str, tuple[tarfile.TarInfo, bytes]] = {
    "climbing": member("blobs/../../climbed", b"x"),
    "absolute": member("/tmp/climbed", b"x"),
    "a backslash": member("blobs\\..\\climbed", b"x"),
    "a symbolic link": member("blobs/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": member("blobs/link", type=tarfile.LNKTYPE, linkname="../identity.json"),
    "a device": member("blobs/device", type=tarfile.CHRTYPE),
    "a pipe": member("blobs/pipe", type=tarfile.FIFOTYPE),
    "another place": member("identity.json", b"{}"),
    "the record of sockets": member("deployments/sockets", b"/tmp/aml-x"),
    "a folder's own name": member("blobs", b"x"),
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_an_archive_with_anything_else_is_refused_whole(
    tmp_path: Path, hostile: tuple[tarfile.TarInfo, bytes]
) -> None:
    file, state = tmp_path / "in.tar.gz", tmp_path / "state"
    write(file, member(MANIFEST, manifest(9, 9999)), member("blobs/c/fine", b"x"), hostile)
    with pytest.raises(EmulatorError, match="no part of"):
        archive.import_state(state, file)
    check_nothing(state)


def check_nothing(state: Path) -> None:
    """No emulator came to be, and nothing of the archive is left."""
    left = {path.name for path in state.rglob("*")}
    assert left <= {"emulator.lock", "start.lock"}
    assert {path.name for path in state.parent.iterdir()} <= {"state", "in.tar.gz"}


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([], "begin with a manifest"),
        ([member("blobs/c/x", b"x")], "begin with a manifest"),
        ([member(MANIFEST, b"[")], "manifest is not one"),
        ([member(MANIFEST, b"[]")], "manifest is not one"),
        ([member(MANIFEST, manifest(1, 10**15))], "more than is taken"),
        ([member(MANIFEST, manifest("1", 1))], "more than is taken"),
        ([member(MANIFEST, manifest(True, 1))], "more than is taken"),
        ([member(MANIFEST, manifest(1, 1, "0"))], "another format"),
        ([member(MANIFEST, manifest(1, 1)), member("blobs/c/x", b"xx")], "more than its manifest"),
        ([member(MANIFEST, manifest(2, 1)), member("blobs/c/x", b"x")], "less than its manifest"),
        ([member(MANIFEST, manifest(1, 1)), member("blobs/c/x", b"x")], "no documents"),
        ([member(MANIFEST, manifest(1, 1)), member(DATABASE, b"x")], "cannot be read"),
    ],
)
def test_an_archive_that_is_not_ours_is_refused_with_the_reason(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], why: str
) -> None:
    file = write(tmp_path / "in.tar.gz", *members)
    with pytest.raises(EmulatorError, match=why):
        archive.import_state(tmp_path / "state", file)
    check_nothing(tmp_path / "state")


@pytest.mark.parametrize("statement", [
    "CREATE TRIGGER t AFTER INSERT ON documents BEGIN DELETE FROM documents; END",
    "CREATE VIEW v AS SELECT * FROM documents",
    "UPDATE documents SET body = 'nonsense'",
    "DROP TABLE counters",
])  # fmt: skip
def test_documents_that_act_or_are_broken_are_refused(
    filled: Path, tmp_path: Path, statement: str
) -> None:
    with sqlite3.connect(filled / DATABASE) as store:
        store.execute(statement)
    store.close()
    archive.export_state(filled, tmp_path / "in.tar.gz")
    with pytest.raises(EmulatorError, match="documents"):
        archive.import_state(tmp_path / "other", tmp_path / "in.tar.gz")
    assert not (tmp_path / "other" / DATABASE).exists()


def test_a_file_cut_short_is_refused(filled: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.tar.gz"
    archive.export_state(filled, whole)
    for size in range(0, whole.stat().st_size - 1, 37):
        (tmp_path / "in.tar.gz").write_bytes(whole.read_bytes()[:size])
        with pytest.raises(EmulatorError):
            archive.import_state(tmp_path / "other", tmp_path / "in.tar.gz")
    assert not (tmp_path / "other" / DATABASE).exists()


@pytest.fixture
def own(emulator: Any, tmp_path: Path) -> Iterator[Any]:
    """Emulators of this test alone, beside the shared one."""
    made = [type(emulator)(tmp_path / name) for name in ("first", "second")]
    yield made
    for each in made:
        server.stop(each.state)


def test_an_emulator_goes_on_elsewhere_with_what_it_held(
    own: Any, trusting: Path, tmp_path: Path
) -> None:
    from azure.ai.ml.entities import Model

    first, second = own
    (tmp_path / "weights.txt").write_text("1 2 3")
    for each in own:
        each.start()
        with trusting.open("ab") as bundle:
            bundle.write(b"\n" + Path(each.ca_file).read_bytes())
    registry = first.client(registry_name="mlrtest")
    registry.models.create_or_update(Model(name="m", version="1", path=tmp_path / "weights.txt"))
    with pytest.raises(EmulatorError, match="runs"):
        archive.export_state(first.state, tmp_path / "out.tar.gz")
    server.stop(first.state)
    archive.export_state(first.state, tmp_path / "out.tar.gz")
    server.reset(second.state)
    archive.import_state(second.state, tmp_path / "out.tar.gz")
    first.start()
    second.start()
    with trusting.open("ab") as bundle:
        bundle.write(b"\n" + Path(second.ca_file).read_bytes())
    # The blobs' addresses in it are those of the second now.
    elsewhere = second.client(registry_name="mlrtest")
    elsewhere.models.download("m", "1", download_path=tmp_path / "down")
    (found,) = (path for path in (tmp_path / "down").rglob("weights.txt"))
    assert found.read_text() == "1 2 3"
    assert second.document["blobs"] in elsewhere.models.get("m", "1").path
    assert first.document["client_secret"] != second.document["client_secret"]


def test_an_idle_emulator_stops_by_itself_and_a_used_one_does_not(
    emulator: Any, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    idle = tmp_path / "idle"
    server.start(idle, SEED, owner_pid=os.getpid(), idle_minutes=0.001)
    eventually(lambda: not server.is_running(idle))
    assert "stopping" in (idle / "emulator.log").read_text()
    assert server.is_running(emulator.state)
