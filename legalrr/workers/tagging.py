"""Tag judgments by workers: a tagger as a backbone, each judgment as one call.

So judgments are leased, and given to others when a worker ends, as calls are (`legalrr.workers.leases`).
"""

import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from legalrr.elastic import ElasticEngine, Workers
from legalrr.errors import UserError
from legalrr.progress import progress
from legalrr.protocols import Abilities, Call, CallQueue, Reply, Segmenter
from legalrr.records import Judgment, Segments, Span


@dataclass(frozen=True, kw_only=True)
class TaggerBackbone:
    """The `legalrr.protocols.Backbone` of a tagger."""

    tagger: Segmenter
    """The tagger; it prompts no backbone."""

    @property
    def name(self) -> str:
        """Name of the tagger."""
        return self.tagger.name

    def provenance(self) -> dict[str, Any]:
        """See `legalrr.protocols.Backbone`."""
        return dict(self.tagger.provenance())

    def load(self) -> "TaggerEngine":
        """Return the engine."""
        return TaggerEngine(self.tagger)


class TaggerEngine:
    """The `legalrr.protocols.Engine` of a tagger: a call has a judgment as message, a reply its roles as JSON.

    Args:
        tagger: the tagger.
    """

    can = Abilities(logprobs=False, structured=False, images=False, seed=False)
    context = 0
    holds = None

    def __init__(self, tagger: Segmenter) -> None:
        self._tagger = tagger

    def token_ends(self, text: str) -> list[int]:
        """Return nothing: a tagger counts no tokens."""
        return []

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; a judgment that cannot be tagged has an error of its own."""
        while calls := queue.take(1):
            yield [(call.key, self._tag(call.messages[0]["judgment"])) for call in calls]

    def _tag(self, judgment: Judgment) -> Reply:
        found = _tag(self._tagger, judgment)
        value = (
            {"error": [found.what, found.where, found.cure]}
            if isinstance(found, UserError)
            else {"scheme": found.scheme, "spans": [[s.start, s.end, s.role, s.score] for s in found.spans]}
        )
        return Reply(
            text=json.dumps(value), finish_reason="stop", prompt_tokens=0, cached_tokens=0, new_tokens=0, seconds=0.0
        )


def tag_judgments(
    tagger: Segmenter, judgments: Iterable[Judgment], workers: Workers | None, *, total: int, label: str
) -> Generator[tuple[int, Judgment, Segments | UserError], None, None]:
    """Tag judgments in this process or by workers, and show the progress.

    Args:
        tagger: the tagger; for workers, one that prompts no backbone.
        judgments: the judgments, read when there is room for them.
        workers: the workers; None, or workers that do not tag: this process.
        total: number of judgments.
        label: name of the work, for the line of progress.

    Yields:
        index, judgment, and its roles or why it has none; in the order of arrival.

    Raises:
        UserError: no worker can be kept running.
    """
    if workers is None or not workers.tags:
        with progress(label, total, "judgments") as advance:
            for number, judgment in enumerate(judgments):
                yield number, judgment, _tag(tagger, judgment)
                advance(1)
        return
    with workers.open_tagger(tagger) as engine, progress(label, total, "judgments", detail=engine.state) as advance:
        queue = _JudgmentQueue(engine, judgments)
        for batch in engine.answer(queue):
            for key, reply in batch:
                judgment = queue.under_way.pop(key)
                yield int(key), judgment, _read(judgment, reply)
                advance(1)


def _tag(tagger: Segmenter, judgment: Judgment) -> Segments | UserError:
    try:
        return tagger.segment(judgment)
    except UserError as error:
        return error


class _JudgmentQueue:
    """Calls for judgments, as many at once as the workers have under way."""

    folder = None

    def __init__(self, engine: ElasticEngine, judgments: Iterable[Judgment]) -> None:
        self.under_way: dict[str, Judgment] = {}
        """Key of a call -> its judgment."""
        self._engine = engine
        self._judgments = enumerate(judgments)

    def take(self, room: int | None = None) -> Sequence[Call]:
        """See `legalrr.protocols.CallQueue`."""
        free = self._engine.judgments - len(self.under_way)
        taken = []
        for number, judgment in islice(self._judgments, max(0, free if room is None else min(free, room))):
            key = str(number)
            self.under_way[key] = judgment
            taken.append(Call(key=key, messages=({"judgment": judgment},), about=key))
        return taken


def _read(judgment: Judgment, reply: Reply) -> Segments | UserError:
    if reply.error is not None:
        return UserError(
            f"not tagged: {reply.error}",
            where=f"{judgment.source}: {judgment.id}" if judgment.source else judgment.id,
            cure="see the logs of the workers, or leave the judgment out",
        )
    value = json.loads(reply.text)
    if "error" in value:
        what, where, cure = value["error"]
        return UserError(what, where=where, cure=cure)
    spans = tuple(Span(start=a, end=b, role=role, score=score) for a, b, role, score in value["spans"])
    return Segments(id=judgment.id, scheme=value["scheme"], spans=spans)
