"""Where a registry version serves, and what the ledgers say of it; changes nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.cloud import endpoints
from taxiops.cloud.client import Connection
from taxiops.cloud.store import open_store
from taxiops.cloud.views import EndpointView, SlotView
from taxiops.config import DEV, PROD, Settings
from taxiops.domain.chain import UNREAD, Link, judged
from taxiops.domain.hash_chain import Break, Position, position_of
from taxiops.domain.serving import (
    PROVISIONED,
    REFERENCE,
    TESTED,
    Rollout,
    SlotMaterial,
    ledger_finding,
    newest,
    rollout_finding,
    slot_finding,
    traffic_finding,
)
from taxiops.errors import NotAuthorised, TaxiopsError, UsageError
from taxiops.workflows.evidence.chained_ledger import ChainedLedger, Reading
from taxiops.workflows.rollouts import record as records
from taxiops.workflows.rollouts.record import LEDGER_TAG, ModelReference
from taxiops.workflows.rollouts.rollout import connect_to

NO_READING = Reading((), ())


@dataclass(frozen=True)
class Serving:
    """A slot that holds the version. percent: its share of live traffic."""

    environment: str
    endpoint: str
    slot: str
    percent: int
    sha256: str

    def document(self) -> dict[str, Any]:
        return {
            "environment": self.environment,
            "endpoint": self.endpoint,
            "slot": self.slot,
            "percent": self.percent,
            "sha256": self.sha256,
        }


@dataclass(frozen=True)
class Place:
    """One environment: its endpoint and its ledger. unread: why the ledger could not be read."""

    connection: Connection
    endpoint: EndpointView | None
    reading: Reading
    unread: str = ""

    @property
    def env(self) -> str:
        return self.connection.environment.name

    @property
    def entries(self) -> list[Mapping[str, Any]]:
        """What the ledger tells of the endpoint."""
        name = self.connection.environment.endpoint
        return [each for each in self.reading.entries if each.get("endpoint") == name]


def serving_findings(
    settings: Settings, model: ModelReference, commit: str, folder: Path | None
) -> tuple[list[Serving], list[Link], list[Place]]:
    """The version's slots in Dev and Prod, the links from it to the requests, and what was read.

    folder: the model's files, for a trip to ask the slots about.
    """
    served: list[Serving] = []
    findings: list[Link] = []
    places: list[Place] = []
    for env in (DEV, PROD):
        try:
            place = read_place(settings, env)
        except (NotAuthorised, UsageError) as error:
            findings.append(Link(f"deployments {env}", UNREAD, "", "", error.what))
            continue
        places.append(place)
        slots = slots_with(place, model)
        trip = first_trip(folder)
        for slot in slots:
            percent = place.endpoint.traffic.get(slot.name, 0) if place.endpoint else 0
            digest = slot.tags.get("model_sha256", "")
            served.append(
                Serving(env, place.connection.environment.endpoint, slot.name, percent, digest)
            )
            asked = asked_slot(place, slot, trip)
            findings.append(slot_finding(asked, model, commit, place.entries))
        findings += place_findings(place)
    return served, findings, places


def read_place(settings: Settings, env: str) -> Place:
    """The environment's endpoint and ledger; raises NotAuthorised or UsageError for the former."""
    connection = connect_to(settings, env)
    endpoint = endpoints.read_endpoint(connection)
    known = [position] if endpoint and (position := anchor_of(endpoint)) else []
    try:
        reading = ChainedLedger(open_store(connection)).read(known)
    except TaxiopsError as error:
        return Place(connection, endpoint, NO_READING, error.what)
    return Place(connection, endpoint, reading)


def anchor_of(endpoint: EndpointView) -> Position | None:
    return position_of(endpoint.tags.get(LEDGER_TAG, ""))


def slots_with(place: Place, model: ModelReference) -> list[SlotView]:
    """The slots that hold the version by their tags, by the service's word or by the ledger's."""
    found = []
    for slot in (place.endpoint.slots if place.endpoint else {}).values():
        same = {"model": model.name, "model_version": model.version, "registry": model.registry}
        by_tags = all(slot.tags.get(name) == value for name, value in same.items())
        named = REFERENCE.fullmatch(slot.model)
        by_service = named is not None and named.groups() == (
            model.registry,
            model.name,
            model.version,
        )
        put = newest(place.entries, slot.name, PROVISIONED, TESTED)
        by_ledger = put is not None and put.get("model_version") == model.version
        if by_tags or by_service or by_ledger:
            found.append(slot)
    return found


def place_findings(place: Place) -> list[Link]:
    """The ledger, and where there is an endpoint, its tags and its traffic against the ledger."""
    env, endpoint = place.env, place.endpoint
    if place.unread:
        return [Link(f"ledger {env}", UNREAD, "", "", place.unread)]
    if endpoint is None and not place.reading.entries and not place.reading.breaks:
        return []
    breaks = list(place.reading.breaks)
    anchor = endpoint.tags.get(LEDGER_TAG, "") if endpoint else ""
    if anchor and position_of(anchor) is None:
        breaks.append(Break(0, f"tag {LEDGER_TAG} of the endpoint is no place in it"))
    findings = [ledger_finding(env, len(place.reading.entries), breaks)]
    if endpoint is not None:
        findings += rollout_findings(place, endpoint)
        findings.append(traffic_finding(env, endpoint.traffic, place.entries))
    return findings


def rollout_findings(place: Place, endpoint: EndpointView) -> list[Link]:
    """Nothing for an endpoint whose tags tell of no rollout."""
    try:
        record = records.record_of_tags(endpoint.tags, place.env, endpoint.name)
    except UsageError as error:
        return [judged(f"endpoint {place.env}", "its tags", "what taxiops writes", [error.what])]
    if record is None:
        return []
    rollout = Rollout(record.slot, record.model, record.prior_traffic, record.tested)
    return [rollout_finding(place.env, rollout, place.entries)]


def first_trip(folder: Path | None) -> Mapping[str, Any] | None:
    """A trip that the model itself brings along, to be asked about."""
    try:
        rows = json.loads((folder / "golden.json").read_bytes())["rows"] if folder else []
        return rows[0] if isinstance(rows[0], dict) else None
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None


def asked_slot(place: Place, slot: SlotView, trip: Mapping[str, Any] | None) -> SlotMaterial:
    """The slot with the digest that it answers with, which it took of the files it loaded."""
    name = place.connection.environment.endpoint
    answered, silent = "", "there is no trip to ask it about"
    if trip is not None and place.endpoint is not None:
        try:
            with endpoints.open_scorer(place.connection, place.endpoint) as scorer:
                answer = scorer.score([trip], slot.name)
            answered = str(answer.document.get("model_sha256", ""))
            silent = answer.detail[:100] or "it does not say"
        except (TaxiopsError, OSError) as error:
            silent = str(error)[:100]
    return SlotMaterial(place.env, name, slot.name, slot.tags, slot.model, answered, silent)
