"""What becomes of one scoring request: keys, weighted traffic, mirrors, limits, faults."""

import asyncio
import hmac
import logging
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

from taxiops.emulator.identity import Identity, token_claims
from taxiops.emulator.scoring.connection import ConnectionLost
from taxiops.emulator.scoring.http import Answer, Incoming, failure, request_bytes
from taxiops.emulator.scoring.upstream import Unreachable, exchange
from taxiops.emulator.state.endpoints.deployments import Deployments
from taxiops.emulator.state.endpoints.routing import Row, Target, token_audience
from taxiops.emulator.state.faults import REFUSALS, SCORE, Fault, Faults

RECOVERY_S, RECOVERY_POLL_S = 30.0, 0.02
AAD_AUDIENCE = "https://ml.azure.com"
DEPLOYMENT_HEADER = "azureml-model-deployment"
# Routes of the inference server, by what follows the endpoint's path.
ROUTES = {"/score": ("GET", "POST", "OPTIONS"), "/swagger.json": ("GET",), "": ("GET",)}
logger = logging.getLogger(__name__)


class Scorer:
    """Answers requests from the routing table of the moment; runs in the proxy's event loop.

    spawn: starts work that nobody waits for.
    """

    def __init__(
        self,
        deployments: Deployments,
        faults: Faults,
        identity: Identity,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._deployments, self._faults, self._identity = deployments, faults, identity
        self._spawn = spawn
        self._random = random.SystemRandom()

    async def answer(self, incoming: Incoming) -> Answer:
        """The answer to a request. Raises ConnectionLost, and when cancelled."""
        try:
            answer = await self._routed(incoming)
        except ConnectionLost:
            raise
        except Exception:
            logger.exception("scoring")
            answer = failure(500, "InternalServerError", "The emulator failed; see its log.")
        client_id = incoming.headers.get("x-ms-client-request-id")
        if client_id and "x-ms-client-request-id" not in answer.headers:
            return Answer(
                answer.status,
                answer.body,
                {**answer.headers, "x-ms-client-request-id": client_id},
            )
        return answer

    async def _routed(self, incoming: Incoming) -> Answer:
        path, _, query = incoming.target.partition("?")
        base, suffix = split_path(path)
        row = self._deployments.table.get(base)
        if row is None:
            return failure(404, "NotFound", "There is no such endpoint.")
        if incoming.method not in ROUTES[suffix]:
            return failure(405, "MethodNotAllowed", f"{incoming.method} is not taken here.")
        if not self._is_authorised(row, incoming):
            return failure(401, "Unauthorized", "The key or token is wrong or missing.")
        wanted = incoming.headers.get(DEPLOYMENT_HEADER, "").lower()
        route = (suffix or "/") + (f"?{query}" if query else "")
        target = await self._target(row, wanted)
        if isinstance(target, Answer):
            return target
        if incoming.method == "POST" and not wanted:
            self._mirror(row, target, incoming, route)
        is_score = incoming.method == "POST"
        fault = is_score and self._faults.take(SCORE, target.name, is_live=not wanted)
        return await self._score(target, incoming, route, fault or None)

    def _is_authorised(self, row: Row, incoming: Incoming) -> bool:
        header = incoming.headers.get("authorization", "")
        if row.auth_mode == "key":
            scheme, _, key = header.partition(" ")
            given = key.strip().encode()
            same = [hmac.compare_digest(given, each.encode()) for each in row.keys]
            return scheme.lower() == "bearer" and any(same)
        claims = token_claims(self._identity, header)
        audience = AAD_AUDIENCE if row.auth_mode == "aadtoken" else token_audience(row.path)
        return claims is not None and claims.get("aud") == audience

    async def _target(self, row: Row, wanted: str) -> Target | Answer:
        """Where the request goes. Just after a restart it waits for a server to be ready."""
        deadline = time.monotonic() + RECOVERY_S
        while True:
            target = self._choose(row, wanted)
            is_waiting = isinstance(target, Target) and target.is_recovering
            if not is_waiting or time.monotonic() > deadline:
                return target
            await asyncio.sleep(RECOVERY_POLL_S)
            row = self._deployments.table.get(row.path.lower(), row)

    def _choose(self, row: Row, wanted: str) -> Target | Answer:
        if wanted:
            message = f"There is no deployment {wanted!r} at this endpoint."
            return row.targets.get(wanted) or failure(404, "DeploymentNotFound", message)
        if not row.live:
            message = "No valid deployment with positive weight to route to."
            return failure(404, "DeploymentNotFound", message)
        return self._random.choices(row.live, row.percents)[0]

    def _mirror(self, row: Row, chosen: Target, incoming: Incoming, route: str) -> None:
        for name, percent in row.mirror.items():
            target = row.targets.get(name)
            if target and target is not chosen and self._random.random() * 100 < percent:
                self._spawn(self._mirrored(target, incoming, route))

    async def _mirrored(self, target: Target, incoming: Incoming, route: str) -> None:
        """The same request once more; nobody sees the answer."""
        await self._score(target, incoming, route)

    async def _score(
        self, target: Target, incoming: Incoming, route: str, fault: Fault | None = None
    ) -> Answer:
        who = {DEPLOYMENT_HEADER: target.name}
        if fault and fault.kind in REFUSALS:
            refusal = REFUSALS[fault.kind]
            return failure(refusal.status, refusal.code, refusal.message, who)
        if fault and fault.kind == "lost-request":
            raise ConnectionLost
        if target.in_flight >= target.most_in_flight:
            return failure(429, "TooManyRequests", f"{target.name} is at its limit.", who)
        try:
            async with asyncio.timeout(target.timeout_s):
                if fault and fault.kind == "slow":
                    await asyncio.sleep(fault.seconds)
                answer = await exchange(target, request_bytes(incoming, route))
        except TimeoutError:
            message = f"{target.name} took longer than {target.timeout_s:g} s."
            return failure(408, "RequestTimeout", message, who)
        except Unreachable:
            return failure(503, "ServiceUnavailable", f"{target.name} has no ready instance.", who)
        except (OSError, ValueError) as error:
            return failure(502, "BadGateway", f"{target.name}: {error}", who)
        if fault and fault.kind == "lost-answer":
            raise ConnectionLost
        if fault and fault.kind == "model-error":
            answer = Answer(500, b"the model failed", {})
        if 200 <= answer.status < 300:
            return Answer(answer.status, answer.body, {**answer.headers, **who})
        reason = {
            "ms-azureml-model-error-statuscode": str(answer.status),
            "ms-azureml-model-error-reason": "model_error",
        }
        return Answer(424, answer.body, {**answer.headers, **who, **reason})


def split_path(path: str) -> tuple[str, str]:
    """The endpoint's path, lower-case, and which of ROUTES follows it."""
    lower = path.lower().rstrip("/")
    for suffix in ("/score", "/swagger.json"):
        if lower.endswith(suffix):
            return lower.removesuffix(suffix), suffix
    return lower, ""
