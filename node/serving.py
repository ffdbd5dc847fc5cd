"""Running a node: check, listen, test ourselves, say `ready`, serve, end in order.

Start-up prints one line per check. The last check connects to our own peer port without a certificate:
if that is answered, the process ends, whatever the settings say (assurance C03, T17).
"""

import asyncio
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any, Final

import structlog
import uvicorn

from node import worker
from node.app import Running, book_start, peer_app
from node.local_port import console_app
from node.transport.server import Patience, bind, console_server, is_reachable_without_certificate, peer_server
from node.transport.tls import listening_context
from node.transport.warming import Warming

ROLES: Final = ("all", "peer", "console", "worker")
RESTART_PAUSE_SECONDS: Final = 1.0

logger = structlog.get_logger("node")


class NotSafe(Exception):
    """A start-up check failed; the process must not serve."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Sockets that are bound already; None for a port that this process does not serve."""

    peer: socket.socket | None
    console: socket.socket | None

    def close(self) -> None:
        """Free them again."""
        for listener in (self.peer, self.console):
            if listener is not None:
                listener.close()


@dataclass(frozen=True, slots=True)
class Serving:
    """What one process serves."""

    role: str
    ports: Ports
    tell: Callable[[str, str], None]
    """start-up lines, zh and en"""
    actor: str
    patience: Patience = field(default_factory=Patience)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


def open_ports(role: str, peer: tuple[str, int], console: tuple[str, int] | None, *, shared: bool = False) -> Ports:
    """Bind what the role serves; `shared` with the other processes of this node.

    Raises:
        OSError: a port is taken or not allowed.
    """
    return Ports(
        peer=bind(*peer, shared=shared) if role in ("all", "peer") else None,
        console=bind(*console, shared=shared) if console is not None and role in ("all", "console") else None,
    )


async def serve(serving: Serving, running: Running) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        NotSafe: a check failed.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.stopping.set)
    await running.adopt_own()
    await running.writer.submit(lambda tx: book_start(tx, actor=serving.actor, now=running.now()))
    serving.tell("数据库与日志可用", "database and log are usable")
    servers = _servers(serving, running)
    tasks = [
        loop.create_task(worker.watch(running, serving.stopping)),
        loop.create_task(running.cases.run(serving.stopping, delivering=serving.role in ("all", "worker"))),
    ]
    if serving.role in ("all", "worker"):
        tasks.append(loop.create_task(worker.work(running, serving.stopping)))
    else:
        tasks.append(loop.create_task(running.catch_up.poll()))
    if serving.role in ("all", "console"):  # those that ask for people
        tasks.append(loop.create_task(Warming(running.clients, SystemRandom().random).run(serving.stopping)))
    tasks += [loop.create_task(server.serve(sockets)) for server, sockets in servers]
    try:
        await _test_ourselves(serving)
        _settle_memory()
        serving.tell(f"就绪 {running.node.member}", f"ready {running.node.member}")
        await serving.stopping.wait()
    finally:
        serving.stopping.set()
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*tasks, return_exceptions=True)
        await running.stop()


def _servers(serving: Serving, running: Running) -> list[tuple[uvicorn.Server, list[socket.socket]]]:
    servers: list[tuple[uvicorn.Server, list[socket.socket]]] = []
    if serving.ports.peer is not None:
        context = listening_context(lambda: running.context)
        servers.append(
            (peer_server(peer_app(running, serving.patience), context, serving.patience), [serving.ports.peer])
        )
    if serving.ports.console is not None:
        servers.append((console_server(console_app(running)), [serving.ports.console]))
    return servers


def _settle_memory() -> None:
    """Take what was loaded at the start out of the collector's sight: it stays, and was a tenth of each exchange."""
    gc.collect()
    gc.freeze()


async def _test_ourselves(serving: Serving) -> None:
    if serving.ports.peer is None:
        return
    host, port = serving.ports.peer.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where we listen, not where we bind
    await _wait_until_listening(host, port)
    if await is_reachable_without_certificate(host, port):
        raise NotSafe("the peer port stays open to a connection without a client certificate")
    serving.tell("自检：没有证书的连接被拒绝", "self-test: a connection without a certificate is refused")


async def _wait_until_listening(host: str, port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
    raise NotSafe("the peer port does not listen")


def supervise(count: int, run: Callable[[int], int]) -> int:
    """Run `count` processes, start one again that dies, end all on a signal.

    Returns the exit code: that of a process that failed its checks, else 0.
    """
    children: dict[int, int] = {}
    ending: list[int] = []

    def end(_number: int, _frame: Any) -> None:
        ending.append(1)
        for pid in list(children):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    cores = _cores(count)

    def started(slot: int) -> int:
        return run(slot) if cores is None else _on_core(cores[slot], lambda: run(slot))

    for slot in range(count):
        children[_fork(slot, started)] = slot
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    worst = 0
    while children:
        pid, status = os.wait()
        slot = children.pop(pid, -1)
        code = os.waitstatus_to_exitcode(status)
        if ending:
            continue
        if code in (1, 2, 3):
            worst = code
            end(0, None)
        elif slot >= 0:
            logger.error("process.restarted", slot=slot, code=code)
            time.sleep(RESTART_PAUSE_SECONDS)
            # A signal during the pause has ended the others; a process started now would never be told.
            if not ending:
                children[_fork(slot, started)] = slot
    return worst


def _cores(count: int) -> list[int] | None:
    """Return a core for each of several processes, or None where there are too few or the system keeps none apart."""
    if count < 2 or not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[:count] if len(allowed) >= count else None


def _on_core(core: int, run: Callable[[], int]) -> int:
    """Run on one core: event loop and writer share the interpreter's lock, and its way between cores costs a sixth."""
    os.sched_setaffinity(0, {core})
    return run()


def _fork(slot: int, run: Callable[[int], int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    code = 1
    try:
        code = run(slot)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
