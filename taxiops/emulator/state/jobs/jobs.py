"""The life of jobs: submitted, each run by a thread, cancelled, recovered, deleted."""

import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from taxiops.emulator.state.assets.assets import Assets, Unresolved
from taxiops.emulator.state.jobs.bindings import Bindings
from taxiops.emulator.state.jobs.cancellation import Cancellation
from taxiops.emulator.state.jobs.commands import Commands
from taxiops.emulator.state.jobs.documents import FINAL, JobDocuments, now
from taxiops.emulator.state.jobs.environments import Environments
from taxiops.emulator.state.jobs.outputs import Outputs
from taxiops.emulator.state.jobs.parts import Parts
from taxiops.emulator.state.jobs.reuse import Reuse
from taxiops.emulator.state.jobs.running import Runner
from taxiops.emulator.state.jobs.surroundings import JobSecrets, Surroundings
from taxiops.emulator.state.storage.blobs import Blobs
from taxiops.emulator.state.storage.store import Store
from taxiops.emulator.state.tracking.runs import Tracking

Json = dict[str, Any]
logger = logging.getLogger(__name__)


class Jobs(JobDocuments):
    """All jobs of all workspaces. `secrets`: those of the job processes that run now."""

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        assets: Assets,
        folder: Path,
        surroundings: Surroundings,
        tracking: Tracking,
        environments: Environments,
    ) -> None:
        super().__init__(store, blobs, folder)
        self.secrets = JobSecrets()
        bindings = Bindings(assets, folder / "downloads")
        outputs = Outputs(store, blobs, assets, self)
        commands = Commands(
            self, bindings, outputs, surroundings, self.secrets, tracking, environments
        )
        parts = Parts(self, bindings, outputs, commands, Reuse(store, self), tracking)
        self._runner = Runner(parts)
        self._cancels: dict[tuple[str, str], Cancellation] = {}
        self._threads: list[threading.Thread] = []
        assets.job_output, assets.job_uri = self.output_blob, self.output_uri

    def create(self, scope: str, name: str, properties: Json) -> Json:
        """Store a job and start it. The store keeps it whatever happens to us."""
        document = self.add(scope, name, properties)
        cancellation = self._cancels[(scope, name)] = Cancellation()
        thread = threading.Thread(target=self._run, args=(scope, name, cancellation), daemon=True)
        self._threads.append(thread)
        thread.start()
        return document

    def _run(self, scope: str, name: str, cancellation: Cancellation) -> None:
        # A deleted job has no document for its end.
        with suppress(Unresolved):
            self._run_guarded(scope, name, cancellation)
        self._cancels.pop((scope, name), None)

    def _run_guarded(self, scope: str, name: str, cancellation: Cancellation) -> None:
        """Raises Unresolved. Anything else that goes wrong is the job's end."""
        try:
            self._runner.run(scope, name, cancellation)
        except Unresolved:
            raise
        except Exception as error:
            logger.exception("job %s", name)
            message = f"The emulator failed: {error!r}; see its log."
            self.update(scope, name, status="Failed", error=message, ended=now())

    def are_running(self) -> bool:
        return bool(self._cancels)

    def cancel(self, scope: str, name: str) -> bool:
        """Ask a running job to end; False when it had ended."""
        document = self.get(scope, name)
        if document is None or document["status"] in FINAL:
            return False
        cancellation = self._cancels.get((scope, document.get("root") or name))
        self.update(scope, name, status="CancelRequested")
        if cancellation:
            cancellation.set()
        return True

    def delete(self, scope: str, name: str) -> bool:
        self.cancel(scope, name)
        return self.remove(scope, name)

    def recover(self) -> None:
        """Fail what was running when the emulator stopped."""
        self.fail_unfinished("The emulator was stopped while this job ran; submit it again.")

    def close(self) -> None:
        """Cancel everything, queued steps included, and wait for the processes to be gone."""
        for cancellation in list(self._cancels.values()):
            cancellation.set()
        for thread in self._threads:
            thread.join(timeout=15)
