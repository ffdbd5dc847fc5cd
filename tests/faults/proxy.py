"""A TCP proxy that harms what it carries: delays, cuts, resets; TLS stays end to end (assurance E6)."""

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random


@dataclass
class FaultProxy:
    """Carries connections from one port to another; harmless once `calm`."""

    listen: int
    target: int
    random: Random
    calm: bool = False
    harmed: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.listen)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            return
        finally:
            self._open.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        budget = None if self.calm or self.random.random() < 0.5 else self.random.randrange(2_000, 60_000)
        ways = [
            asyncio.create_task(self._pump(reader, there_writer, budget, writer)),
            asyncio.create_task(self._pump(there_reader, writer, budget, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            there_writer.close()

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        budget: int | None,
        client: asyncio.StreamWriter,
    ) -> None:
        carried = 0
        while data := await source.read(16_384):
            if not self.calm and self.random.random() < 0.02:
                await asyncio.sleep(self.random.random() * 0.5)
            carried += len(data)
            if budget is not None and not self.calm and carried > budget:
                # In the middle of whatever it is: a truncated message, or a reset inside the receipt.
                self.harmed += 1
                sink.write(data[: len(data) // 2])
                with suppress(OSError):
                    await sink.drain()
                _reset(client)
                return
            sink.write(data)
            await sink.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    plain: socket.socket | None = writer.get_extra_info("socket")
    if plain is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
