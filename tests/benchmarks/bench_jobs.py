"""A step of a pipeline on the emulator against its own process, in seconds that it costs more."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from taxiops.emulator import server
from taxiops.emulator.state.storage.store import Store

LIMIT_S = 0.2
STEPS, ROUNDS = 8, 5
SCOPE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
COMMAND = "python step.py > ${{outputs.out}}/made"
PROGRAM = "import json\nprint(json.dumps(1))\n"


def measure() -> dict[str, Any]:
    """The median over rounds of (time of a chain of steps - time of their processes) / steps."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        workspace = {"subscription": "s", "resource_group": "g", "name": "w"}
        server.start(state, {"workspaces": [workspace]}, owner_pid=os.getpid())
        try:
            rounds = [one_round(state, number) for number in range(ROUNDS)]
        finally:
            server.stop(state)
    more = statistics.median(chain - own for chain, own in rounds)
    return {
        "step_s": statistics.median(chain for chain, _ in rounds),
        "own_process_s": statistics.median(own for _, own in rounds),
        "more_s": more,
        "limit_s": LIMIT_S,
        "within_limit": more <= LIMIT_S,
    }


def one_round(state: Path, number: int) -> tuple[float, float]:
    """(seconds a step on the emulator, seconds a process by itself), each the mean of STEPS."""
    name = f"chain-{number}"
    put(state, f"/jobs/{name}", pipeline(state, number))
    store = Store(state / "emulator.db")
    while (document := store.get("job", SCOPE.lower(), name) or {}).get("status") not in {
        "Completed",
        "Failed",
    }:
        time.sleep(0.02)
    store.close()
    assert document["status"] == "Completed", document["error"]
    began, ended = (datetime.fromisoformat(document[key]) for key in ("started", "ended"))
    return (ended - began).total_seconds() / STEPS, own_process_s()


def own_process_s() -> float:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "step.py").write_text(PROGRAM)
        begin = time.perf_counter()
        for _ in range(STEPS):
            command = ["bash", "-c", "python step.py > made"]
            subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, check=True)
        return (time.perf_counter() - begin) / STEPS


def pipeline(state: Path, number: int) -> dict[str, Any]:
    """A chain of steps of one component, with a snapshot of code to copy."""
    account = Store(state / "emulator.db").get("workspace", SCOPE.lower(), "") or {}
    code = state / "blobs" / account["container"] / "code"
    code.mkdir(exist_ok=True)
    (code / "step.py").write_text(PROGRAM)
    address = "azureml://datastores/workspaceblobstore/paths/code"
    put(state, f"/codes/c{number}/versions/1", {"codeUri": address})
    spec = {
        "type": "command",
        "command": COMMAND,
        "code": f"azureml:{SCOPE}/codes/c{number}/versions/1",
        "inputs": {"before": {"type": "uri_folder", "optional": True}},
        "outputs": {"out": {"type": "uri_folder"}},
    }
    put(state, f"/components/step{number}/versions/1", {"componentSpec": spec})
    component = f"{SCOPE}/components/step{number}/versions/1"
    nodes: dict[str, Any] = {"s0": {"componentId": component}}
    for step in range(1, STEPS):
        value = f"${{{{parent.jobs.s{step - 1}.outputs.out}}}}"
        bound = {"before": {"job_input_type": "literal", "value": value}}
        nodes[f"s{step}"] = {"componentId": component, "inputs": bound}
    return {"jobType": "Pipeline", "jobs": nodes, "settings": {"force_rerun": True}}


def put(state: Path, path: str, properties: dict[str, Any]) -> None:
    import ssl
    import urllib.request

    from taxiops.emulator.identity import Identity, issue_token

    document = json.loads((state / "emulator.json").read_text("utf-8"))
    identity = Identity(**json.loads((state / "identity.json").read_text("utf-8")))
    token = issue_token(identity, "https://management.azure.com", document["arm"], time.time())
    body = json.dumps({"properties": properties}).encode()
    request = urllib.request.Request(
        f"{document['arm']}{SCOPE}{path}?api-version=2024-01-01-preview", data=body, method="PUT"
    )
    request.add_header("authorization", f"Bearer {token}")
    trust = ssl.create_default_context(cafile=str(state / "tls" / "ca.pem"))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
    )
    opener.open(request, timeout=30).read()
