"""A whole node that serves inside the test process: real ports, TLS, pipeline and log, but its parts in reach.

For what a separate process cannot be given: shorter patience, or a fault planted in its TLS context. The
test's own blocking client runs in a thread meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from node.app import Running, start
from node.membership.service import accept_crl, remember_certificate
from node.serving import Ports, Serving, serve
from node.transport.server import Patience, bind
from tests.processes.cities import RunningNetwork, now

T = TypeVar("T")


def serve_here(
    network: RunningNetwork,
    code: str,
    meanwhile: Callable[[Running], Awaitable[T]],
    *,
    patience: Patience | None = None,
    spoil: Callable[[Running], None] = lambda running: None,
) -> T:
    """Serve a city until `meanwhile` has its result; `spoil` plants a fault before the ports open.

    Raises:
        NotSafe: a check of the start failed.
    """

    async def run() -> T:
        running = await start(network.opening.at(network.city(code).home).node())
        running.rebuild_context()
        spoil(running)
        ready = asyncio.Event()
        ports = Ports(bind("127.0.0.1", network.city(code).peer_port), None)
        serving = Serving(
            "all",
            ports,
            lambda _zh, en: ready.set() if en.startswith("ready") else None,
            "test",
            patience or Patience(),
        )
        served = asyncio.create_task(serve(serving, running))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({served, waiting}, return_when=asyncio.FIRST_COMPLETED)
        try:
            return await meanwhile(running) if ready.is_set() else await _never(served)
        finally:
            waiting.cancel()
            serving.stopping.set()
            await asyncio.gather(served, return_exceptions=True)

    return asyncio.run(run())


async def _never(served: "asyncio.Task[None]") -> T:
    await served
    raise AssertionError("the node ended without being ready and without saying why")


def make_known(network: RunningNetwork, sender: str, receiver: str) -> None:
    """Let the receiver hold the sender's CRL and message certificate, as after their first exchange."""
    database = network.node(receiver).database
    crl = (network.city(sender).home / "certs" / "ca" / "crl.der").read_bytes()
    certificate = network.message_key(sender).certificate
    database.write(lambda transaction: accept_crl(transaction, sender, crl, now=now()))
    trust = network.trust(receiver)
    database.write(lambda transaction: remember_certificate(transaction, trust, certificate, now=now()))
