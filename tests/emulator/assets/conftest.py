"""Plain requests to the emulator, for what the SDK never sends."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from taxiops.emulator.identity import Identity, issue_token

API = "api-version=2023-08-01-preview"


@dataclass(frozen=True)
class Wire:
    """Requests of the emulator's own service principal; nothing is retried."""

    arm: str
    session: requests.Session
    identity: Identity
    home: str
    account: dict[str, str]

    def token(self, audience: str = "", age_s: float = 0.0) -> str:
        return issue_token(self.identity, audience or self.arm, self.arm, time.time() - age_s)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        token: str | None = None,
        query: str = API,
    ) -> requests.Response:
        """path: below the workspace, or from the root when it begins with a slash."""
        given = self.token() if token is None else token
        base = self.arm + (path if path.startswith("/") else f"{self.home}/{path}")
        return self.session.request(
            method,
            base if path.startswith("http") else f"{base}?{query}",
            data=None if body is None else json.dumps(body),
            headers={"authorization": f"Bearer {given}"} if given else {},
            timeout=30,
        )

    def get_url(self, url: str, token: str = "") -> requests.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return self.session.get(url, headers=headers, timeout=30)


@pytest.fixture(scope="session")
def wire(emulator: Any, workspace: Any) -> Any:
    document = emulator.document
    stored = json.loads((emulator.state / "identity.json").read_text("utf-8"))
    with requests.Session() as session:
        session.verify = emulator.ca_file
        session.trust_env = False
        home = (
            f"/subscriptions/{workspace.subscription_id}"
            f"/resourceGroups/{workspace.resource_group_name}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{workspace.workspace_name}"
        )
        yield Wire(document["arm"], session, Identity(**stored), home, document)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model.txt").write_text("1 2 3")
    return folder
