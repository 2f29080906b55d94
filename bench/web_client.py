"""Those who look at the page, cheaply: event streams that stay open, and requests at a steady rate, in one process.

python -m bench.web_client ADDRESS STREAMS RATE SECONDS     the token stands in GITDEPLOY_WEB_TOKEN

Bare sockets and one event loop, so that on two cores the server is measured and not this. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from statistics import quantiles

# What pages ask for, in the proportions of a page that has no stream and asks each second, and of tabs that are opened.
PATHS = (
    *["/api/upgrade-log"] * 10,
    *["/api/deployments?limit=1"] * 5,
    *["/api/status"] * 3,
    "/part/now",
    "/api/backup-list",
)
CONNECTIONS = 40  # kept open; a request waits where all are busy, and that counts as its time
LIMIT = 60.0  # seconds that an answer may take

Place = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Counted:
    """What happened. `slow`: seconds of each answer, from the moment that it was due."""

    streams: int = 0
    events: int = 0
    answers: int = 0
    failed: list[str] = field(default_factory=list)
    slow: list[float] = field(default_factory=list)


class Client:
    def __init__(self, host: str, port: int, token: str) -> None:
        self.host, self.port, self.token = host, port, token
        self.counted = Counted()
        self.idle: asyncio.LifoQueue[Place | None] = asyncio.LifoQueue()

    def request(self, path: str) -> bytes:
        return (
            f"GET /upgrade{path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAuthorization: Bearer {self.token}\r\n\r\n"
        ).encode()

    async def stream(self, end: float) -> None:
        """One reader of the event stream until END (of the loop's clock)."""
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port)
            writer.write(self.request("/api/events"))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT)
            if b" 200 " not in head.split(b"\r\n")[0]:
                raise ConnectionError(head.split(b"\r\n")[0].decode())
            self.counted.streams += 1
            loop = asyncio.get_running_loop()
            while (left := end - loop.time()) > 0:
                try:
                    data = await asyncio.wait_for(reader.read(65536), left)
                except TimeoutError:
                    break
                if not data:
                    raise ConnectionError("the stream ended")
                self.counted.events += data.count(b"\ndata: ")
            writer.close()
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.counted.failed.append(f"stream: {error!r}")

    async def ask(self, path: str) -> None:
        begun = time.perf_counter()
        place = await self.idle.get()
        try:
            try:
                status, place = await self.answered(path, place)
            except (ConnectionError, asyncio.IncompleteReadError):
                if place is None:
                    raise
                # Kept open for nothing over half a minute, and closed by the server meanwhile: any client asks anew.
                status, place = await self.answered(path, None)
            if b" 200 " not in status:
                self.counted.failed.append(f"{path}: {status.decode()}")
            self.counted.answers += 1
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            place = None
            self.counted.failed.append(f"{path}: {error!r}")
        self.idle.put_nowait(place)
        self.counted.slow.append(time.perf_counter() - begun)

    async def answered(self, path: str, place: Place | None) -> tuple[bytes, Place]:
        """The answer's first line, and the connection that it came on, which stays open."""
        reader, writer = place or await asyncio.open_connection(self.host, self.port)
        writer.write(self.request(path))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT)
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), None)
        if length is None:
            raise ConnectionError("an answer without its length")
        await asyncio.wait_for(reader.readexactly(length), LIMIT)
        return lines[0], (reader, writer)

    async def run(self, streams: int, rate: float, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            self.idle.put_nowait(None)
        end = loop.time() + seconds
        readers = [asyncio.create_task(self.stream(end)) for _ in range(streams)]
        begun, asked = loop.time(), []
        for number, path in zip(itertools.count(), itertools.cycle(PATHS)):
            due = begun + number / rate
            if due > end:
                break
            await asyncio.sleep(max(0.0, due - loop.time()))
            asked.append(asyncio.create_task(self.ask(path)))
        await asyncio.gather(*readers, *asked)


def main() -> None:
    host, _, port = sys.argv[1].partition(":")
    streams, rate, seconds = int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    client = Client(host, int(port), os.environ["GITDEPLOY_WEB_TOKEN"])
    begun = time.perf_counter()
    asyncio.run(client.run(streams, rate, seconds))
    took, used = time.perf_counter() - begun, time.process_time()
    found = asdict(client.counted)
    slow = sorted(found.pop("slow"))
    cuts = quantiles(slow, n=100) if len(slow) > 1 else [0.0] * 99
    found |= {
        "rate": found["answers"] / took,
        "median": cuts[49],
        "p99": cuts[98],
        "slowest": slow[-1],
        "cpu": used / took,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
