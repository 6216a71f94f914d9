"""One request to a deployment's scoring servers, and their answer; knows no client."""

import asyncio
import socket

from taxiops.emulator.scoring.http import Answer, answer_of, whole_bytes
from taxiops.emulator.state.endpoints.routing import Instance, Target

CHUNK_BYTES = 256 * 1024


class Unreachable(Exception):
    """Nothing was sent: the instance does not listen."""


async def exchange(target: Target, request: bytes) -> Answer:
    """Send to the least busy instance, to another one when it does not listen.

    Raises Unreachable, OSError or ValueError when the answer is broken off.
    """
    for instance in sorted(target.instances, key=lambda each: each.in_flight):
        instance.in_flight += 1
        try:
            return await exchange_with(instance, request)
        except Unreachable:
            continue
        finally:
            instance.in_flight -= 1
    raise Unreachable(target.name)


async def exchange_with(instance: Instance, request: bytes) -> Answer:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as upstream:
        upstream.setblocking(False)
        try:
            upstream.connect(instance.socket_path)
        except OSError as error:
            raise Unreachable(instance.socket_path) from error
        await loop.sock_sendall(upstream, request)
        received, whole = bytearray(), None
        while whole is None or len(received) < whole:
            data = await loop.sock_recv(upstream, CHUNK_BYTES)
            if not data:
                break
            received += data
            whole = whole or whole_bytes(received)
        return answer_of(bytes(received))
