"""Which steps are identical, so that one may have the outputs of the other, as on Azure."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taxiops.emulator.state.jobs import graph
from taxiops.emulator.state.jobs.documents import JobDocuments
from taxiops.emulator.state.jobs.values import Value, asset_name
from taxiops.emulator.state.storage.store import Store

Json = dict[str, Any]
KIND = "step-result"
# What says how a step looks, not what it does.
ORNAMENT = frozenset({"name", "version", "display_name", "description", "tags", "$schema"})


class Reuse:
    """Results of deterministic steps, by what they were made from."""

    def __init__(self, store: Store, documents: JobDocuments) -> None:
        self._store, self._documents = store, documents

    def find(self, scope: str, key: str) -> Json | None:
        """The completed job whose outputs a step with this key may have; None when it is gone."""
        entry = self._store.get(KIND, scope, key)
        document = self._documents.get(scope, entry["job"]) if entry else None
        if document is None or document["status"] != "Completed":
            return None
        paths = self._documents.output_paths(scope, document["name"])
        return document if all(Path(path).exists() for path in paths.values()) else None

    def keep(self, scope: str, key: str, job: str) -> None:
        self._store.put(KIND, scope, key, {"job": job})


def key_of(
    step: graph.Step, values: Mapping[str, Value], outputs: Mapping[str, Json], interpreter: str
) -> str:
    """What makes two steps identical; empty for one that must run each time.

    outputs: what is asked of its outputs. A step that registers an output runs, so that there is
    a version of it. The data of an address is taken to be what it was, as Azure takes it.
    """
    if not step.is_deterministic or any(asset_name(each) for each in outputs.values()):
        return ""
    node = step.node
    document = {
        "spec": {key: value for key, value in step.spec.items() if key not in ORNAMENT},
        "inputs": {key: each.identity for key, each in values.items()},
        "outputs": {key: each.get("uri") for key, each in outputs.items()},
        "variables": dict(step.environment_variables),
        "resources": node.get("resources"),
        "distribution": node.get("distribution"),
        "interpreter": interpreter,
    }
    canonical = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()
