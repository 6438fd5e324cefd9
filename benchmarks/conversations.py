"""Measure the wall time of conversations against the ideal, with a server of random latencies.

    python benchmarks/conversations.py [--judgments 1000] [--turns 3] [--concurrency 64] [--median 0.5] [--sigma 1.0]

A server of its own process answers every request after a log-normal latency, drawn by the conversation. The ideal is
the sum of the latencies divided by the number of requests that may be under way. At the end of a run there are fewer
calls than that, and nobody knows which of them are long: the same order of calls is also simulated with client and
server that take no time, which no client can beat in that order. Two ways are timed in turn: each conversation goes on
as its answers come (`legalrr.conversations`), and turn by turn in groups of judgments (`--group`, 0 leaves it out), in
which every turn waits for the slowest answer of the turn before.
"""

import argparse
import asyncio
import heapq
import json
import math
import multiprocessing
import random
import tempfile
import time
from collections import deque
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path

from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.conversations import Conversation, ConversationGroup, run_conversations
from legalrr.protocols import Call, Engine
from legalrr.records import Completion
from legalrr.stage import digest
from legalrr.store import Store


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judgments", type=int, default=1000, help="number of conversations (default %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="calls of a conversation (default %(default)s)")
    parser.add_argument("--concurrency", type=int, default=64, help="requests under way (default %(default)s)")
    parser.add_argument("--group", type=int, default=24, help="judgments of a group; 0: none (default %(default)s)")
    parser.add_argument("--median", type=float, default=0.5, help="median latency in seconds (default %(default)s)")
    parser.add_argument("--sigma", type=float, default=1.0, help="sigma of the latency (default %(default)s)")
    options = parser.parse_args()
    receive, send = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.Process(target=_serve, args=(send, options.median, options.sigma), daemon=True)
    server.start()
    backbone = OpenAIBackbone(
        name="simulated",
        model="simulated",
        base_url=f"http://127.0.0.1:{receive.recv()}/v1",
        context=8192,
        concurrency=options.concurrency,
    )
    ideal = sum(
        _latency(_contents(judgment, turn), options.median, options.sigma)
        for judgment in range(options.judgments)
        for turn in range(options.turns)
    )
    ideal /= options.concurrency
    calls = options.judgments * options.turns
    print(f"{calls} calls, {options.concurrency} under way, ideal {ideal:.1f} s")
    least = _simulate(options)
    print(f"{'no time between':<20}{least:>8.1f} s{least / ideal:>8.3f} times the ideal", flush=True)
    ways = [("as answers come", None)] + ([(f"groups of {options.group}", options.group)] if options.group else [])
    for name, size in ways:
        started = time.process_time()
        seconds = _run(backbone, options.judgments, options.turns, size)
        busy = 1000 * (time.process_time() - started) / calls
        print(f"{name:<20}{seconds:>8.1f} s{seconds / ideal:>8.3f} times the ideal, {busy:.1f} ms of CPU per call")
    server.terminate()


def _simulate(options: argparse.Namespace) -> float:
    """Return the seconds of all conversations if only the server takes time."""
    starting, waiting = deque(range(options.judgments)), deque[tuple[int, int]]()
    under_way: list[tuple[float, int, int]] = []
    now = 0.0
    while starting or waiting or under_way:
        while len(under_way) < options.concurrency and (starting or waiting):
            judgment, turn = waiting.popleft() if waiting else (starting.popleft(), 0)
            latency = _latency(_contents(judgment, turn), options.median, options.sigma)
            heapq.heappush(under_way, (now + latency, judgment, turn))
        now, judgment, turn = heapq.heappop(under_way)
        if turn + 1 < options.turns:
            waiting.append((judgment, turn + 1))
    return now


def _run(backbone: OpenAIBackbone, judgments: int, turns: int, group: int | None) -> float:
    """Return the seconds of all conversations, with an empty store."""
    conversations = [_Scripted(number, turns) for number in range(judgments)]
    engine = backbone.load()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), {})
        started = time.perf_counter()
        if group is None:
            _lead([one.whole() for one in conversations], store, engine)
        else:
            for first in range(0, judgments, group):
                for turn in range(turns):
                    _lead([one.turn(turn) for one in conversations[first : first + group]], store, engine)
        seconds = time.perf_counter() - started
        store.close()
    return seconds


def _lead(conversations: Iterable[Conversation], store: Store, engine: Engine) -> None:
    groups = (ConversationGroup(conversations={number: one}) for number, one in enumerate(conversations))
    led = run_conversations(groups, store, engine, fresh=set(), used=lambda key: None, advance=lambda count: None)
    deque(led, maxlen=0)


class _Scripted:
    """A conversation whose calls do not depend on its answers.

    Args:
        judgment: number of the judgment.
        turns: number of its calls.
    """

    def __init__(self, judgment: int, turns: int) -> None:
        self._judgment = judgment
        self._turns = turns

    def whole(self) -> Conversation:
        """Run all turns."""
        for turn in range(self._turns):
            yield self._call(turn)
        return Completion(id=str(self._judgment), turns=())

    def turn(self, turn: int) -> Conversation:
        """Run one turn."""
        yield self._call(turn)
        return Completion(id=str(self._judgment), turns=())

    def _call(self, turn: int) -> Call:
        content = _contents(self._judgment, turn)
        return Call(key=digest(content), messages=({"role": "user", "content": content},), max_new_tokens=8)


def _contents(judgment: int, turn: int) -> str:
    return f"judgment {judgment}, turn {turn}"


def _latency(content: str, median: float, sigma: float) -> float:
    """Return the latency of a conversation, in seconds."""
    return math.exp(random.Random(content).gauss(math.log(median), sigma))


def _serve(send: Connection, median: float, sigma: float) -> None:
    """Serve chat completions; send the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while headers := await _headers(reader):
            asked = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))) or b"{}")
            if asked:
                await asyncio.sleep(_latency(asked["messages"][-1]["content"], median, sigma))
            data = json.dumps(_completion(asked.get("model", ""))).encode()
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
            writer.write(head.encode() + data)
            await writer.drain()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        send.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
    """Read the headers of a request; empty if the connection ends."""
    found: dict[str, str] = {}
    first = await reader.readline()
    while first and (line := (await reader.readline()).strip()):
        name, _, value = line.decode("latin-1").partition(":")
        found[name.lower()] = value.strip()
    return found


def _completion(model: str) -> dict[str, object]:
    return {
        "id": "one",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "YES"}}],
        "usage": {"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 9},
    }


if __name__ == "__main__":
    main()
