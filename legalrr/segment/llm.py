"""A tagger that asks a language model for the role of every sentence, without training: for schemes without training
data, and to measure trained taggers against.

A judgment is shown in windows of numbered sentences that overlap; the model answers with a line `number: ROLE` each.
Where two windows answer, the one counts that shows more of what stands around the sentence. All windows of a judgment
are asked together, and every answer is stored by what was asked.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from legalrr.annotate.annotate import source, template
from legalrr.errors import UserError
from legalrr.protocols import Call, Engine, Reply
from legalrr.records import Judgment, Segments, Span
from legalrr.roles import scheme
from legalrr.segment.sentence_embeddings import CUT, context, shortened, windows
from legalrr.sentences import split
from legalrr.stage import at_least, check_fields, digest
from legalrr.store import Store
from legalrr.verdict import reasoning_end

log = logging.getLogger(__name__)

PROMPT = "tagging.j2"
POLICIES = ("error", "uncovered", "previous")
TEMPLATE_TOKENS = 16
"""Tokens allowed per message for what a chat template puts around it."""
_LINE = re.compile(r"([0-9]{1,4}): ([A-Z_]+)")


@dataclass(frozen=True, kw_only=True)
class LlmSegmenter:
    """Splits a judgment into sentences and asks the pipeline's backbone for the role of each."""

    VERSION: ClassVar[int] = 1

    name: str = "llm"
    """Name in tables."""
    scheme: str = "build"
    """Scheme of the roles: build or seven."""
    window: int = at_least(1, 24)
    """Sentences asked for at once; fewer where the context has no room for them."""
    overlap: int = 6
    """Sentences that a window shares with the one before; at most half of a window."""
    longest: int = at_least(2 * len(CUT), 600)
    """Characters of a sentence that are shown; from longer ones the middle is left out."""
    answer_tokens: int = at_least(1, 12)
    """Tokens allowed for the line about one sentence."""
    unanswered: str = "uncovered"
    """What becomes of a sentence without a valid answer. `error`: the judgment fails; `uncovered`: it gets no role;
    `previous`: that of the sentence before, if there is one; or a role of the scheme. They are counted in the log, and
    a role that no model gave has score 0."""

    stored: ClassVar[bool] = True
    """A language model reads the whole judgment and writes."""
    needs_gold: ClassVar[bool] = False
    """It tags any text."""

    def __post_init__(self) -> None:
        """Raises UserError for an unknown scheme or policy, or for windows that cannot be."""
        roles = scheme(self.scheme, where="segment.scheme")
        if self.unanswered not in POLICIES and self.unanswered not in roles:
            raise UserError(
                f"unknown policy {self.unanswered!r}",
                where="segment.unanswered",
                cure=f"use {', '.join(POLICIES)}, or a role of {self.scheme!r}",
            )
        check_fields(self, "segment")
        if not 0 <= self.overlap <= self.window // 2:
            raise UserError(
                f"overlap is {self.overlap}",
                where="segment.overlap",
                cure=f"give 0 to {self.window // 2}, half of a window",
            )

    def provenance(self) -> Mapping[str, Any]:
        """The digest of the prompt's words."""
        return {"prompt_sha256": digest(source(PROMPT))}

    def segment(self, judgment: Judgment) -> Segments:
        """Raises UserError: without a backbone nothing can be asked (see `asking`)."""
        raise UserError(
            "this tagger asks a language model", where="segment=llm", cure="run it as a stage: legalrr segment=llm"
        )

    @contextmanager
    def asking(self, engine: Engine, calls: Store) -> Iterator["LlmTagger"]:
        """See `legalrr.protocols.AskingSegmenter`."""
        tagger = LlmTagger(self, engine, calls)
        yield tagger
        if tagger.unanswered:
            log.warning(
                "%d of %d sentences without a valid answer (segment.unanswered=%s)",
                tagger.unanswered,
                tagger.sentences,
                self.unanswered,
            )


class LlmTagger:
    """An `LlmSegmenter` with a backbone to ask.

    Attributes:
        sentences: how many were asked for.
        unanswered: for how many of them no window brought a valid answer.
    """

    def __init__(self, segmenter: LlmSegmenter, engine: Engine, calls: Store) -> None:
        self.name = segmenter.name
        self.stored = segmenter.stored
        self.needs_gold = segmenter.needs_gold
        self.sentences = 0
        self.unanswered = 0
        self._options = segmenter
        self._scheme = scheme(segmenter.scheme)
        self._codes = {role.code for role in self._scheme.roles}
        self._engine = engine
        self._calls = calls

    def provenance(self) -> Mapping[str, Any]:
        """That of the segmenter."""
        return self._options.provenance()

    def segment(self, judgment: Judgment) -> Segments:
        """A span per sentence that has a role.

        Its score is 1 where the model named the role and 0 where `unanswered` did: the model gives no probability.

        Raises:
            UserError: a sentence has no valid answer and `unanswered` is `error`, or the context is too short for one.
        """
        offsets = split(judgment.text)
        shown = [shortened(judgment.text[start:end], self._options.longest) for start, end in offsets]
        answers = self._answers(shown, judgment.id)
        missing = [number for number, role in enumerate(answers) if role is None]
        self.sentences += len(offsets)
        self.unanswered += len(missing)
        if missing and self._options.unanswered == "error":
            start, end = offsets[missing[0]]
            raise UserError(
                f"no valid answer for {len(missing)} of {len(offsets)} sentences, first for {start} to {end}",
                where=judgment.id,
                cure="take another backbone, or set segment.unanswered to uncovered, previous or a role",
            )
        spans = []
        previous: str | None = None
        for (start, end), answer in zip(offsets, answers, strict=True):
            role = answer or self._instead(previous)
            if role is not None:
                spans.append(Span(start=start, end=end, role=role, score=float(answer is not None)))
            previous = role
        return Segments(id=judgment.id, scheme=self._options.scheme, spans=tuple(spans))

    def _instead(self, previous: str | None) -> str | None:
        """The role of a sentence without an answer."""
        if self._options.unanswered == "previous":
            return previous
        return self._options.unanswered if self._options.unanswered in self._codes else None

    def _answers(self, shown: Sequence[str], id: str) -> list[str | None]:
        """The role of each sentence, None without a valid answer."""
        best: dict[int, tuple[float, str]] = {}
        found = self._windows(shown, id)
        calls = [self._call(shown, window) for window in found]
        missing = {call.key: call for call in calls if call.key not in self._calls}
        if missing:
            for batch in self._engine.generate(list(missing.values())):
                self._calls.add((key, asdict(reply)) for key, reply in batch)
        for window, call in zip(found, calls, strict=True):
            reply = Reply(**self._calls[call.key])
            lines = answered(reply.text, self._codes, whole=reply.finish_reason != "length")
            for number, role in lines.items():
                if number <= len(window):
                    at = window[number - 1]
                    around = context(at, window, len(shown))
                    # Of equals the earlier window counts.
                    if at not in best or around > best[at][0]:
                        best[at] = around, role
        return [best[at][1] if at in best else None for at in range(len(shown))]

    def _windows(self, shown: Sequence[str], id: str) -> list[range]:
        """Windows that fit the context with what stands around them and the answer."""
        count = len(shown)
        around = _render("system", scheme=self._scheme) + _render("sentences", sentences=[], first=count, count=count)
        room = self._engine.context - len(self._engine.token_ends(around)) - 2 * TEMPLATE_TOKENS
        # A line is the number, the sentence, and what the model writes about it.
        costs = [
            len(self._engine.token_ends(f"\n{self._options.window}: {sentence}")) + self._options.answer_tokens
            for sentence in shown
        ]
        if costs and max(costs) > room:
            raise UserError(
                f"a sentence takes {max(costs)} tokens, and the context leaves {max(room, 0)}",
                where=id,
                cure="lower segment.longest or take a backbone with a longer context",
            )
        return windows(costs, room=room, size=self._options.window, overlap=self._options.overlap)

    def _call(self, shown: Sequence[str], window: range) -> Call:
        sentences = [shown[at] for at in window]
        asked = _render("sentences", sentences=sentences, first=window.start + 1, count=len(shown))
        messages = (
            {"role": "system", "content": _render("system", scheme=self._scheme)},
            {"role": "user", "content": asked},
        )
        new = self._options.answer_tokens * len(window)
        return Call(key=digest({"generate": new, "messages": list(messages)}), messages=messages, max_new_tokens=new)


def answered(text: str, codes: Set[str], *, whole: bool) -> dict[int, str]:
    """The roles of an answer by the number of the sentence.

    Args:
        text: what the model wrote; what it thought before (`legalrr.verdict`) is passed over.
        codes: roles of the scheme.
        whole: False for an answer that was cut off, whose last line does not count.

    Returns:
        Only lines that are exactly `number: ROLE` with a role of the scheme; no number that got two roles.
    """
    lines = text[reasoning_end(text) :].split("\n")
    found: dict[int, set[str]] = {}
    for line in lines if whole else lines[:-1]:
        match = _LINE.fullmatch(line.strip())
        if match and match[2] in codes:
            found.setdefault(int(match[1]), set()).add(match[2])
    return {number: roles.pop() for number, roles in found.items() if number and len(roles) == 1}


def _render(piece: str, **values: object) -> str:
    return template(PROMPT).render(piece=piece, **values)
