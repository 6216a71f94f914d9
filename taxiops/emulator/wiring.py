"""Puts the parts of an emulator together, in the order in which they depend on each other."""

import socket
import ssl
from pathlib import Path

from taxiops.emulator.context import Addresses, Emulator
from taxiops.emulator.identity import Identity
from taxiops.emulator.scoring.proxy import ScoringProxy
from taxiops.emulator.state.assets.assets import Assets
from taxiops.emulator.state.endpoints.deployments import Deployments
from taxiops.emulator.state.faults import Faults
from taxiops.emulator.state.jobs.environments import ISOLATED, Environments
from taxiops.emulator.state.jobs.jobs import Jobs
from taxiops.emulator.state.jobs.surroundings import Surroundings, ensure_bundle
from taxiops.emulator.state.operations import Operations
from taxiops.emulator.state.storage.blobs import Blobs
from taxiops.emulator.state.storage.store import Store
from taxiops.emulator.state.tracking.runs import Tracking


def build(
    state: Path,
    identity: Identity,
    addresses: list[str],
    scoring_socket: socket.socket,
    context: ssl.SSLContext,
    environment_mode: str,
) -> tuple[Emulator, ScoringProxy]:
    """All parts of the emulator on a state folder; nothing serves yet."""
    store = Store(state / "emulator.db")
    blobs = Blobs(state / "blobs", store, identity.key, addresses[1])
    assets = Assets(store, blobs)
    operations = Operations(store)
    bundle = ensure_bundle(state / "tls" / "ca.pem")
    surroundings = Surroundings(addresses[0], identity.client_id, bundle)
    tracking = Tracking(store)
    is_isolated = environment_mode == ISOLATED
    environments = Environments(assets, state / "environments", is_isolated=is_isolated)
    jobs = Jobs(store, blobs, assets, state / "jobs", surroundings, tracking, environments)
    faults = Faults()
    deployments = Deployments(store, assets, operations, state / "deployments", faults)
    emulator = Emulator(
        folder=state,
        addresses=Addresses(*addresses),
        identity=identity,
        store=store,
        blobs=blobs,
        assets=assets,
        operations=operations,
        jobs=jobs,
        tracking=tracking,
        deployments=deployments,
        faults=faults,
    )
    return emulator, ScoringProxy(emulator, context, scoring_socket)
