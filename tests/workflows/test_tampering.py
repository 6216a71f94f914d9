"""Whatever anybody changes in the chain, `trace` finds it and names the link."""

import contextlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taxiops.cloud import endpoints, models
from taxiops.cloud.models import ModelVersion
from taxiops.cloud.store import open_store
from taxiops.config import Settings
from taxiops.domain.evidence import sealed
from taxiops.errors import EvidenceError
from taxiops.workflows.deploy import DeployOptions, deploy
from taxiops.workflows.documents import read_document
from taxiops.workflows.evidence.kept_evidence import evidence_name
from taxiops.workflows.rollouts.rollout import connect_to
from taxiops.workflows.trace import TraceOptions, TraceResult, trace

if TYPE_CHECKING:
    from conftest import Promoted, World

ENDPOINT = "audited"
LEDGER = "taxiops/ledger/000000.jsonl"


def ignore(_: str) -> None:
    """Progress that nobody reads."""


@dataclass(frozen=True)
class Chain:
    """A promoted, deployed version, and the emulator's own files behind it."""

    settings: Settings
    version: ModelVersion
    state: Path
    ledger: Path

    def trace(self) -> TraceResult:
        return trace(self.settings, TraceOptions(model_version=self.version.version), ignore)

    @property
    def model(self) -> Path:
        return self.folder_of(self.version)

    @property
    def evidence(self) -> Path:
        connection = connect_to(self.settings)
        name = evidence_name(connection)
        job = self.version.tags["comparison_run"]
        listed = models.list_versions(connection.registry, name)
        return self.folder_of(next(v for v in listed if v.tags["comparison_run"] == job))

    def folder_of(self, version: ModelVersion) -> Path:
        container, _, name = version.path.partition("//")[2].partition("/")[2].partition("/")
        return self.state / "blobs" / container / name

    def tags(self) -> dict[str, str]:
        client = connect_to(self.settings).registry
        found = models.read_version(client, self.version.name, self.version.version)
        assert found is not None
        return dict(found.tags)

    def write_tags(self, tags: dict[str, str]) -> None:
        models.write_tags(
            connect_to(self.settings).registry, self.version.name, self.version.version, tags
        )

    @contextlib.contextmanager
    def document(self, kind: str, name: str) -> Iterator[dict[str, Any]]:
        """The emulator's own document, to be changed in place."""
        with contextlib.closing(sqlite3.connect(self.state / "emulator.db", timeout=30)) as store:
            query = "SELECT scope, body FROM documents WHERE kind=? AND name=?"
            found = store.execute(query, (kind, name)).fetchall()
            (scope, body) = next(row for row in found if kind != "deployment" or ENDPOINT in row[0])
            document = json.loads(body)
            yield document
            with store:
                store.execute(
                    "UPDATE documents SET body=? WHERE kind=? AND name=? AND scope=?",
                    (json.dumps(document), kind, name, scope),
                )


@pytest.fixture(scope="module")
def chain(world: "World", first: "Promoted") -> Iterator[Chain]:
    settings = world.settings(endpoint=ENDPOINT)
    deploy(settings, DeployOptions(model_version=first.promotion.version), ignore)
    connection = connect_to(settings)
    found = models.read_version(connection.registry, first.promotion.name, first.promotion.version)
    assert found is not None
    container = open_store(connection)._container.container_name
    yield Chain(settings, found, world.state, world.state / "blobs" / container / LEDGER)
    endpoints.delete_endpoint(connection, ignore)


Restore = Callable[[], None]
Tamper = Callable[[Chain], Restore]


def in_file(path: Callable[[Chain], Path], change: Callable[[bytes], bytes]) -> Tamper:
    def tamper(chain: Chain) -> Restore:
        file = path(chain)
        before = file.read_bytes()
        file.write_bytes(change(before))
        assert file.read_bytes() != before
        return lambda: file.write_bytes(before) and None

    return tamper


def last_byte(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def one_more_blank(content: bytes) -> bytes:
    return content.replace(b":", b": ", 1)


def lines(change: Callable[[list[bytes]], object]) -> Tamper:
    def changed(content: bytes) -> bytes:
        found = content.splitlines(keepends=True)
        change(found)
        return b"".join(found)

    return in_file(lambda chain: chain.ledger, changed)


def swap(found: list[bytes]) -> None:
    found[1], found[2] = found[2], found[1]


def forge(found: list[bytes]) -> None:
    """Another author for an entry in the midst of the others."""
    found[1] = re.sub(rb'"actor":"[^"]*"', b'"actor":"nobody at all"', found[1])


def registry_tags(change: Callable[[dict[str, str]], dict[str, str]]) -> Tamper:
    def tamper(chain: Chain) -> Restore:
        before = chain.tags()
        chain.write_tags(change(before))
        return lambda: chain.write_tags(before)

    return tamper


def tag(name: str, value: str) -> Tamper:
    return registry_tags(lambda _: {name: value})


def sealed_again(before: dict[str, str]) -> dict[str, str]:
    """A forger who knows how the seal is made, for it is no secret."""
    return sealed({**before, "candidate": "0.1"})


def stored(kind: str, name: str, change: Callable[[dict[str, Any]], object]) -> Tamper:
    def tamper(chain: Chain) -> Restore:
        before: dict[str, Any] = {}
        at = name or chain.version.tags["comparison_run"]
        with chain.document(kind, at) as document:
            before |= json.loads(json.dumps(document))
            change(document)

        def restore() -> None:
            with chain.document(kind, at) as document:
                document.clear()
                document |= before

        return restore

    return tamper


def put_at(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Put the last of these at the place that the others lead to."""
    *keys, last, value = path

    def change(document: dict[str, Any]) -> None:
        for key in keys:
            document = document[key]
        assert last in document
        document[last] = value

    return change


def other_model(document: dict[str, Any]) -> None:
    """Another version behind the same tags."""
    properties = document["properties"]
    assert "/versions/" in properties["model"]
    properties["model"] = re.sub(r"/versions/.*", "/versions/99", properties["model"])


def traffic(chain: Chain) -> Restore:
    connection = connect_to(chain.settings)
    before = endpoints.require_endpoint(connection)

    def put(shares: dict[str, int]) -> None:
        now = endpoints.require_endpoint(connection)
        endpoints.write_endpoint(connection, now, ignore, traffic=shares)

    put({})
    return lambda: put(dict(before.traffic))


def output_of_the_job(chain: Chain) -> Path:
    """metadata.json as the training step left it in the workspace's store."""
    content = (chain.model / "metadata.json").read_bytes()
    found = (chain.state / "blobs").rglob("metadata.json")
    inside = (each for each in found if not each.is_relative_to(chain.model))
    mine = [each for each in inside if each.read_bytes() == content and "reg-" not in str(each)]
    return next(each for each in mine if "azureml" in str(each))


def model_file(name: str) -> Callable[[Chain], Path]:
    return lambda chain: chain.model / name


def evidence_file(name: str) -> Callable[[Chain], Path]:
    return lambda chain: chain.evidence / name


# What is done, the link that must be named, and a word of what must be said of it.
CASES: dict[str, tuple[Tamper, str, str]] = {
    "commit tag": (tag("commit", "0" * 40), "registry version", "tag commit is 0000"),
    "figure tag": (tag("change", "-9"), "registry version", "tag change is -9"),
    "digest tag": (
        tag("report_sha256", f"sha256:{'0' * 64}"),
        "registry version",
        "tag report_sha256 is sha256:0000",
    ),
    "verdict tag": (
        tag("verdict_sha256", f"sha256:{'0' * 64}"),
        "registry version",
        "tag verdict_sha256 is sha256:0000",
    ),
    "seal": (tag("taxiops_sealed", f"sha256:{'0' * 64}"), "registry version", "taxiops_sealed"),
    "run tag": (tag("run_id", "7"), "registry version", "run_id"),
    "tag with a new seal": (registry_tags(sealed_again), "registry version", "tag candidate"),
    "job's commit": (
        stored("job", "", put_at("properties", "inputs", "commit", "value", "f" * 40)),
        "job",
        "its commit is ffff",
    ),
    "job's model": (in_file(output_of_the_job, last_byte), "job", "its model's digest"),
    "model file": (in_file(model_file("model.skops"), last_byte), "model", "model.skops"),
    "training digest": (
        in_file(model_file("metadata.json"), lambda text: text.replace(b"sha256:", b"sha256:0", 1)),
        "model",
        "metadata.json",
    ),
    "comparison, one blank": (
        in_file(evidence_file("comparison.json"), one_more_blank),
        "comparison",
        "its digest is",
    ),
    "comparison, one figure": (
        in_file(evidence_file("comparison.json"), lambda text: text.replace(b"3", b"4", 1)),
        "comparison",
        "its digest is",
    ),
    "verdict": (in_file(evidence_file("verdict.json"), last_byte), "verdict", "its digest is"),
    "slot's digest": (
        stored("deployment", "blue", put_at("tags", "model_sha256", f"sha256:{'0' * 64}")),
        "deployment dev/blue",
        "tag model_sha256",
    ),
    "slot's version": (
        stored("deployment", "blue", put_at("tags", "model_version", "99")),
        "deployment dev/blue",
        "tag model_version is 99",
    ),
    "slot's age": (
        stored("deployment", "blue", put_at("tags", "deployed_at", "2001-01-01T00:00:00Z")),
        "deployment dev/blue",
        "the digest of its tags",
    ),
    "slot's model": (stored("deployment", "blue", other_model), "deployment dev/blue", "its model"),
    "what a rollback restores": (
        stored("endpoint", ENDPOINT, put_at("tags", "taxiops_prior_traffic", "green=100")),
        "endpoint dev",
        "its prior traffic is green 100 %",
    ),
    "the endpoint's model": (
        stored("endpoint", ENDPOINT, put_at("tags", "taxiops_model_version", "99")),
        "endpoint dev",
        "its model version is 99",
    ),
    "the endpoint's place in the ledger": (
        stored("endpoint", ENDPOINT, put_at("tags", "taxiops_ledger", f"1 sha256:{'0' * 64}")),
        "ledger dev",
        "entry 1 is missing or edited",
    ),
    "traffic": (traffic, "traffic dev", "the traffic is no traffic, recorded is blue 100 %"),
    "ledger line edited": (lines(forge), "ledger dev", "entry 1 was edited"),
    "ledger line deleted": (lines(lambda found: found.pop(1)), "ledger dev", "entry 1 missing"),
    "last ledger line deleted": (
        lines(lambda found: found.pop()),
        "ledger dev",
        "is missing or edited",
    ),
    "ledger lines moved": (lines(swap), "ledger dev", "entry 1 missing before entry 2"),
    "ledger line inserted": (
        lines(lambda found: found.insert(2, found[1])),
        "ledger dev",
        "entry 1 stands where entry 2 belongs",
    ),
    "ledger emptied": (lines(lambda found: found.clear()), "ledger dev", "is missing or edited"),
}


def test_an_untouched_chain_holds_with_every_link_that_can_be_checked_here(chain: Chain) -> None:
    result = chain.trace()
    states = {each.link: each.state for each in result.findings}
    assert {link for link, state in states.items() if state != "holds"} == {"commit"}
    assert list(states)[:9] == [
        *("commit", "job", "training data", "model", "comparison", "policy", "verdict"),
        *("registry version", "promotion"),
    ]
    assert {"deployment dev/blue", "ledger dev", "endpoint dev", "traffic dev"} <= set(states)
    (slot,) = [each for each in result.findings if each.link == "deployment dev/blue"]
    assert "its answer" in slot.checked
    assert result.next_command == "taxiops status"


@pytest.mark.parametrize("case", CASES)
def test_what_was_tampered_with_is_found_and_named(chain: Chain, case: str) -> None:
    tamper, link, word = CASES[case]
    restore = tamper(chain)
    try:
        with pytest.raises(EvidenceError) as caught:
            chain.trace()
    finally:
        restore()
    error = caught.value
    assert (error.exit_code, error.code) == (3, "chain-broken")
    assert error.details["link"] == link, error.why
    assert word in error.why
    assert error.hint
    document = read_document(chain.settings.output / "trace" / "trace.json", "trace", "")
    assert (document["whole"], document["broken"]) == (False, link)


def test_prod_takes_no_version_whose_chain_is_broken(world: "World", chain: Chain) -> None:
    settings = world.settings("prod", endpoint="refused")
    tamper, link, _ = CASES["verdict"]
    restore = tamper(chain)
    options = DeployOptions(model_version=chain.version.version)
    try:
        with pytest.raises(EvidenceError) as caught:
            deploy(settings, options, ignore)
    finally:
        restore()
    assert (caught.value.details["link"], caught.value.exit_code) == (link, 3)
    assert endpoints.read_endpoint(connect_to(settings)) is None
    assert chain.trace().deployments
