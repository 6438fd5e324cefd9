"""Tag rhetorical roles by prompting a language model, without training.

It serves as tagger for schemes without training data, and as reference for trained taggers. A prompt contains a window
of numbered sentences; windows overlap. The model answers with a line `number: ROLE` per sentence. Of two answers for a
sentence, the one with more context around it counts. All windows of a judgment are one batch, and every answer is
stored under its prompt.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from legalrr.annotate.annotate import SYSTEMS, template, template_source
from legalrr.conversations import answer_calls
from legalrr.errors import UserError
from legalrr.protocols import Call, Engine, Reply
from legalrr.records import Judgment, Segments, Span
from legalrr.roles import scheme
from legalrr.segment.sentence_embeddings import ELLIPSIS, context_size, make_windows, shortened
from legalrr.sentences import split
from legalrr.stage import at_least, check_fields, digest, later
from legalrr.store import Store
from legalrr.verdict import reasoning_end

LOG = logging.getLogger(__name__)

PROMPT = "tagging.j2"
POLICIES = ("error", "uncovered", "previous")
TEMPLATE_TOKENS = 16
"""Tokens reserved per message for the chat template."""
_LINE = re.compile(r"([0-9]{1,4}): ([A-Z_]+)")


@dataclass(frozen=True, kw_only=True)
class LlmSegmenter:
    """Segmenter that splits a judgment into sentences and prompts the pipeline's backbone for their roles."""

    VERSION: ClassVar[int] = 1

    name: str = "llm"
    """Name in tables."""
    scheme: str = "build"
    """Scheme of the roles: build or seven."""
    window: int = at_least(1, 24)
    """Maximum number of sentences per prompt; fewer if the context is too short."""
    overlap: int = 6
    """Sentences that a window shares with the previous one; at most half of a window."""
    longest: int = at_least(2 * len(ELLIPSIS), 600)
    """Maximum number of characters of a sentence; the middle of a longer one is omitted."""
    answer_tokens: int = at_least(1, 12)
    """Maximum number of tokens of the answer for one sentence."""
    unanswered: str = "uncovered"
    """Policy for sentences without a valid answer, also where the backbone refuses a window. `error`: the judgment
    fails; `uncovered`: no role; `previous`: the role of the previous sentence, if any; or a role of the scheme. These
    sentences are counted in the log; roles given by the policy have score 0."""
    system: str = later(default="own")
    """The system message: of its `own`, or for models without a system role the start of the `first_user` message,
    before a blank line."""

    stored: ClassVar[bool] = True
    """Results are stored: the language model processes the whole judgment."""
    needs_gold: ClassVar[bool] = False
    """Gold roles are not needed."""

    def __post_init__(self) -> None:
        """Raise UserError for an unknown scheme or policy, or invalid windows."""
        roles = scheme(self.scheme, where="segment.scheme")
        if self.unanswered not in POLICIES and self.unanswered not in roles:
            raise UserError(
                f"unknown policy {self.unanswered!r}",
                where="segment.unanswered",
                cure=f"use {', '.join(POLICIES)}, or a role of {self.scheme!r}",
            )
        check_fields(self, "segment")
        if self.system not in SYSTEMS:
            raise UserError(
                f"unknown system {self.system!r}", where="segment.system", cure=f"use {' or '.join(SYSTEMS)}"
            )
        if not 0 <= self.overlap <= self.window // 2:
            raise UserError(
                f"overlap is {self.overlap}",
                where="segment.overlap",
                cure=f"give 0 to {self.window // 2}, half of a window",
            )

    def provenance(self) -> Mapping[str, Any]:
        """Return the digest of the prompt template."""
        return {"prompt_sha256": digest(template_source(PROMPT))}

    def segment(self, judgment: Judgment) -> Segments:
        """Raise UserError: tagging needs a backbone (see `asking`)."""
        raise UserError(
            "this tagger needs a backbone", where="segment=llm", cure="run it as a stage: legalrr segment=llm"
        )

    @contextmanager
    def asking(self, engine: Engine, calls: Store) -> Iterator["LlmTagger"]:
        """See `legalrr.protocols.AskingSegmenter`."""
        tagger = LlmTagger(self, engine, calls)
        yield tagger
        if tagger.unanswered:
            LOG.warning(
                "%d of %d sentences without a valid answer (segment.unanswered=%s)",
                tagger.unanswered,
                tagger.sentences,
                self.unanswered,
            )


class LlmTagger:
    """An `LlmSegmenter` with its backbone.

    Attributes:
        sentences: number of sentences processed.
        unanswered: number of these without a valid answer.
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
        """Return the provenance of the segmenter."""
        return self._options.provenance()

    def segment(self, judgment: Judgment) -> Segments:
        """Return a span per sentence with a role.

        The model gives no probabilities: the score is 1 for a role of the model and 0 for a role of `unanswered`.

        Raises:
            UserError: a sentence has no valid answer and `unanswered` is `error`, or exceeds the context.
        """
        offsets = split(judgment.text)
        sentences = [shortened(judgment.text[start:end], self._options.longest) for start, end in offsets]
        answers = self._answers(sentences, judgment.id)
        missing = [number for number, role in enumerate(answers) if role is None]
        self.sentences += len(offsets)
        self.unanswered += len(missing)
        if missing and self._options.unanswered == "error":
            start, end = offsets[missing[0]]
            raise UserError(
                f"no valid answer for {len(missing)} of {len(offsets)} sentences, first for {start} to {end}",
                where=judgment.id,
                cure="use another backbone, or set segment.unanswered to uncovered, previous or a role",
            )
        spans = []
        previous: str | None = None
        for (start, end), answer in zip(offsets, answers, strict=True):
            role = answer or self._fallback_role(previous)
            if role is not None:
                spans.append(Span(start=start, end=end, role=role, score=float(answer is not None)))
            previous = role
        return Segments(id=judgment.id, scheme=self._options.scheme, spans=tuple(spans))

    def _fallback_role(self, previous: str | None) -> str | None:
        """Return the role of a sentence without a valid answer."""
        if self._options.unanswered == "previous":
            return previous
        return self._options.unanswered if self._options.unanswered in self._codes else None

    def _answers(self, sentences: Sequence[str], id: str) -> list[str | None]:
        """Return the role of each sentence; None without a valid answer."""
        best: dict[int, tuple[float, str]] = {}
        found = self._windows(sentences, id)
        calls = [self._call(sentences, window) for window in found]
        missing = {call.key: call for call in calls if call.key not in self._calls}
        refused = self._ask(list(missing.values()), id) if missing else set()
        for window, call in zip(found, calls, strict=True):
            if call.key in refused:
                continue
            reply = Reply(**self._calls[call.key])
            lines = parse_answer(reply.text, self._codes, whole=reply.finish_reason != "length")
            for number, role in lines.items():
                if number <= len(window):
                    at = window[number - 1]
                    around = context_size(at, window, len(sentences))
                    # Ties go to the earlier window.
                    if at not in best or around > best[at][0]:
                        best[at] = around, role
        return [best[at][1] if at in best else None for at in range(len(sentences))]

    def _ask(self, calls: Sequence[Call], id: str) -> set[str]:
        """Store the answers to calls; return the keys of refused calls, which have no valid answer for any sentence."""
        refused: dict[str, str] = {}
        # A window that was refused in an earlier run is sent again.
        for key, reply in answer_calls(calls, self._calls, self._engine, fresh=set(), retried=set()):
            if reply.error is not None:
                refused[key] = reply.error
        if refused:
            words = next(iter(refused.values()))
            LOG.warning("%s: %d of %d windows refused: %s", id, len(refused), len(calls), words)
        return set(refused)

    def _windows(self, sentences: Sequence[str], id: str) -> list[range]:
        """Make windows that fit the context together with the rest of the prompt and the answer."""
        count = len(sentences)
        around = _render("system", scheme=self._scheme) + _render("sentences", sentences=[], first=count, count=count)
        room = self._engine.context - len(self._engine.token_ends(around)) - 2 * TEMPLATE_TOKENS
        # Tokens of the numbered sentence and of its answer.
        costs = [
            len(self._engine.token_ends(f"\n{self._options.window}: {sentence}")) + self._options.answer_tokens
            for sentence in sentences
        ]
        if costs and max(costs) > room:
            raise UserError(
                f"a sentence takes {max(costs)} tokens; the context has room for {max(room, 0)}",
                where=id,
                cure="lower segment.longest or use a backbone with a longer context",
            )
        return make_windows(costs, room=room, size=self._options.window, overlap=self._options.overlap)

    def _call(self, sentences: Sequence[str], window: range) -> Call:
        numbered = [sentences[at] for at in window]
        prompt = _render("sentences", sentences=numbered, first=window.start + 1, count=len(sentences))
        system = _render("system", scheme=self._scheme)
        messages: tuple[Mapping[str, Any], ...] = (
            ({"role": "system", "content": system}, {"role": "user", "content": prompt})
            if self._options.system == "own"
            else ({"role": "user", "content": f"{system}\n\n{prompt}"},)
        )
        new = self._options.answer_tokens * len(window)
        return Call(key=digest({"generate": new, "messages": list(messages)}), messages=messages, max_new_tokens=new)


def parse_answer(text: str, codes: Set[str], *, whole: bool) -> dict[int, str]:
    """Parse the roles of an answer by sentence number.

    Args:
        text: output of the model; its reasoning (`legalrr.verdict`) is ignored.
        codes: roles of the scheme.
        whole: False for a truncated answer, whose last line is ignored.

    Returns:
        Number -> role of the lines that are exactly `number: ROLE` with a role of the scheme, except numbers with
        two different roles.
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
