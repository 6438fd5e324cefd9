"""Records that the stages exchange: frozen, keyword-only dataclasses, joined by `id`, never by position.

    corpus --Judgment--> segment --Segments--> restructure --Document--> annotate --Prompt--> predict --Completion-->
    verdict --Verdict--> score

Character offsets are Python string offsets into `Judgment.text`, half-open: `text[start:end]`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from legalrr.errors import UserError

Outcome = Literal["allowed", "dismissed"]
OUTCOMES: tuple[Outcome, Outcome] = ("allowed", "dismissed")
Party = Literal["appellant", "petitioner", "plaintiff"]
PARTIES: tuple[Party, ...] = ("appellant", "petitioner", "plaintiff")
FinishReason = Literal["stop", "length", "overflow"]
HideReason = Literal["role", "headnote", "verdict", "closing", "uncovered", "repeat"]


@dataclass(frozen=True, kw_only=True)
class Span:
    """A span of a judgment with one rhetorical role."""

    start: int
    """Offset of the first character."""
    end: int
    """Offset one past the last character; `end > start`."""
    role: str
    """A role of the scheme (`legalrr.roles`)."""
    score: float = 1.0
    """Probability of the role according to the tagger; 1.0 for gold."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the PDF that a judgment was read from; `legalrr.corpora.pdf_folder` renders it."""

    path: str
    """Path of the PDF."""
    number: int
    """Number of the page in the file, from 1; not the printed page number."""
    sha256: str
    """Digest of the file; with `number` and `dpi` it identifies the image, independent of the file name."""
    start: int
    """Offset of its first character in the judgment; may fall inside a word that continues from the page before."""
    end: int
    """Offset one past its last character; equal to `start` on a page without text."""
    dpi: int | None = None
    """Resolution in dots per inch of the image shown to a model; None: only the text is shown."""

    def seen(self) -> dict[str, Any]:
        """Return what identifies the image, as JSON values; the path of the file is not part of it."""
        return {"sha256": self.sha256, "number": self.number, "dpi": self.dpi}


@dataclass(frozen=True, kw_only=True)
class Judgment:
    """One judgment of a corpus. The text never changes; later stages point into it by offset."""

    id: str
    """Unique within its corpus."""
    text: str
    """The full text, not normalized; "" if the judgment has only page images."""
    outcome: Outcome | None = None
    """Allowed (even in part) or dismissed for `party`; None if unknown."""
    party: Party | None = None
    """The party that filed the case, whose success counts as "allowed"; None if the corpus does not give it (then
    `legalrr.annotate.party` searches the text)."""
    petitioner: str | None = None
    """Name of that party, if the corpus gives it."""
    confidence: str | None = None
    """Confidence of the annotator in the outcome: high, medium or low; None if not stated."""
    court: str | None = None
    """Name of the court; None if the corpus does not give it (then `legalrr.annotate.party` searches the text)."""
    year: int | None = None
    """Year of the decision."""
    kind: str | None = None
    """Kind of matter (criminal, tax, ...), as in the corpus."""
    group: str | None = None
    """Group of judgments (a pair, near-duplicates) that cross-validation keeps in one fold; None: no group."""
    source: str = ""
    """File (and line or row) of the judgment, for messages."""
    split: str | None = None
    """Split of the corpus (train, dev, test); None if it has no splits."""
    scheme: str | None = None
    """Scheme of `spans`, a name in `legalrr.roles`; None without gold roles."""
    spans: tuple[Span, ...] | None = None
    """Gold spans, ordered and disjoint; None without gold roles."""
    pages: tuple[Page, ...] = ()
    """Non-blank pages of the PDF that it was read from, in order; empty for a judgment read from text."""


@dataclass(frozen=True, kw_only=True)
class Segments:
    """The rhetorical roles of one judgment."""

    id: str
    """The judgment's id."""
    scheme: str
    """Name of the role scheme."""
    spans: tuple[Span, ...]
    """Ordered and disjoint; text outside all spans has no role."""


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """A passage that the model must not see."""

    start: int
    """Offset of the first character in the judgment."""
    end: int
    """Offset one past the last character."""
    role: str
    """Its role, or "" outside all spans."""
    reason: HideReason
    """role: a decisive role, or a precedent that the court rejects; headnote: the law reporter's headnote; verdict: the
    court's verdict or view under another role; closing: the law reporter's closing line; uncovered: the end of a
    judgment outside all spans; repeat: repetition of a hidden sentence."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A visible passage of the judgment."""

    role: str
    """Its role, or "" outside all spans."""
    start: int
    """Offset of the first character in the judgment."""
    text: str
    """The text, equal to the judgment's text from `start` on."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """A judgment as it is shown to the model."""

    id: str
    """The judgment's id."""
    scheme: str
    """Name of the role scheme."""
    headings: bool
    """Whether blocks are grouped under a heading per role (R)."""
    blocks: tuple[Block, ...]
    """The visible blocks in the order shown; for a judgment shown as images, the text of the shown pages."""
    hidden: tuple[Hidden, ...] = ()
    """Passages hidden because they reveal the outcome, in order of offset."""
    dropped_tokens: int = 0
    """Tokens dropped to fit the budget."""
    skipped: bool = False
    """Whether the overflow policy `skip` excluded the judgment: too long, or all pages hidden."""
    pages: tuple[Page, ...] = ()
    """Pages shown as images instead of text, in order; empty if the text is shown."""
    hidden_pages: tuple[Page, ...] = ()
    """Pages hidden because they may reveal the outcome."""

    @property
    def pictured(self) -> bool:
        """Whether the judgment is shown as page images (`legalrr.page_images`)."""
        return bool(self.pages or self.hidden_pages)

    def render(self, headings: Mapping[str, str]) -> str:
        """Return the visible blocks, one below another; under R each group has its heading (role code -> heading)."""
        lines: list[str] = []
        last: str | None = None
        for block in self.blocks:
            if self.headings and block.role != last:
                lines.append(f"\n{headings.get(block.role, 'Other')}:")
            last = block.role
            lines.append(block.text)
        return "\n".join(lines).strip()


_SURROGATE = re.compile("[\ud800-\udfff]")


def replace_surrogates(text: str) -> str:
    """Replace each surrogate in the text of a model by U+FFFD.

    An answer cut off within a character may end in half of a surrogate pair. The store keeps it as it is; tokenizers,
    requests and metrics do not accept it and get the text from here.
    """
    return _SURROGATE.sub("\ufffd", text)


@dataclass(frozen=True, kw_only=True)
class Quote:
    """Placeholder in a message for the answer of an earlier turn."""

    turn: str
    """Name of the quoted turn."""


Part: TypeAlias = str | Quote | Page
"""A part of a message: literal text, a quote, or a page to show as an image."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of a conversation, before quotes are filled in and images rendered."""

    role: Literal["system", "user", "assistant"]
    """Role of the author in the chat template."""
    parts: tuple[Part, ...]
    """The parts in order. Text is never searched for placeholders, so a judgment may contain any string."""

    def fill(self, answers: Mapping[str, str]) -> dict[str, Any]:
        """Return the message as `{"role", "content"}`, with the quoted answers filled in.

        The content is a string or, for a message with images, a list of `{"type": "text", "text"}` and
        `{"type": "image"}` with the values of `Page.seen`.

        Args:
            answers: turn name -> text; surrogates are replaced (`replace_surrogates`).

        Raises:
            KeyError: the answer of a quoted turn is missing.
        """
        content: list[dict[str, Any]] = []
        text = ""
        for part in self.parts:
            if isinstance(part, Page):
                content += [*_text_part(text), {"type": "image", **part.seen()}]
                text = ""
            else:
                text += replace_surrogates(answers[part.turn]) if isinstance(part, Quote) else part
        return {"role": self.role, "content": [*content, *_text_part(text)] if content else text}

    @property
    def pages(self) -> tuple[Page, ...]:
        """Pages shown in the message, in order."""
        return tuple(part for part in self.parts if isinstance(part, Page))


def _text_part(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}] if text else []


@dataclass(frozen=True, kw_only=True)
class PromptTurn:
    """One call: the full conversation that is sent, ending with a user message."""

    name: str
    """analysis, statutes, ratio, ruling or answer."""
    messages: tuple[Message, ...]
    """The conversation up to the requested answer."""
    max_new_tokens: int
    """Length limit of the answer, in tokens."""

    @property
    def pages(self) -> tuple[Page, ...]:
        """Pages shown in the conversation, in order."""
        return tuple(page for message in self.messages for page in message.pages)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """All turns of one arm about one judgment. A chain is data: the plain arm is the same with fewer turns."""

    id: str
    """The judgment's id."""
    turns: tuple[PromptTurn, ...]
    """Turns in the order sent; the last one asks for YES or NO."""
    blank: PromptTurn | None = None
    """The last turn with an empty judgment, for calibration; only single-turn prompts have it."""
    party: Party | None = None
    """Role of the party that the question is about; None if the judgment does not name it."""


@dataclass(frozen=True, kw_only=True)
class CompletedTurn:
    """One answer of a model, or the reason why there is none."""

    name: str
    """Name of the prompt turn."""
    text: str
    """The answer, without special tokens; "" after an overflow."""
    finish_reason: FinishReason
    """stop: the model ended; length: cut off at `max_new_tokens`; overflow: the prompt exceeds the context."""
    prompt_tokens: int = 0
    """Tokens of the conversation sent."""
    cached_tokens: int = 0
    """Of these, tokens found in a prefix cache."""
    new_tokens: int = 0
    """Tokens generated."""
    seconds: float = 0.0
    """Wall time in seconds; the time of a batch is divided equally among its members."""
    logprobs: Mapping[str, float] | None = None
    """Log-probability (natural logarithm) of each compared answer; None if text was generated."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """All answers to one prompt."""

    id: str
    """The judgment's id."""
    turns: tuple[CompletedTurn, ...]
    """Turns in the order sent; fewer than in the prompt after an overflow or an error."""
    error: str | None = None
    """Message of an engine that failed on this judgment only."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome read from the last answer."""

    id: str
    """The judgment's id."""
    label: Literal["allowed", "dismissed", "invalid"]
    """`invalid` is not a class: it is a miss in the class of the gold outcome."""
    reason: Literal["matched", "unparsed", "budget", "overflow", "error"]
    """budget: cut off before an answer; overflow: prompt longer than the context; error: the engine failed."""
    span: tuple[int, int] | None = None
    """Offsets of the label in the text of the last turn; None unless matched."""
    p_allowed: float | None = None
    """Probability of `allowed`; None unless the probabilities of the answers were compared."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Input of a predictor for one judgment, without the outcome."""

    judgment: Judgment
    """The judgment with `outcome` and gold spans removed."""
    document: Document
    """The visible document."""
    prompt: Prompt
    """The prompt for a model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """One evaluated judgment: the input of the scores."""

    id: str
    """The judgment's id."""
    gold: Outcome
    """The gold outcome."""
    label: Literal["allowed", "dismissed", "invalid"]
    """The predicted outcome."""
    cut_off: bool = False
    """Whether any turn was cut off."""
    p_allowed: float | None = None
    """Probability of `allowed`, if known."""
    cluster: str = ""
    """Cluster of near-duplicates (`legalrr.near_duplicates`); "": a cluster of its own."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A training example: a judgment with its outcome."""

    judgment: Judgment
    """The judgment; its `outcome` is set."""
    document: Document
    """The visible document."""


R = TypeVar("R")


def by_id(records: Iterable[R]) -> dict[str, R]:
    """Index records by `id`, keeping their order; raises UserError on a duplicate."""
    found: dict[str, R] = {}
    for record in records:
        key: str = record.id  # type: ignore[attr-defined]
        if key in found:
            raise UserError(
                f"duplicate id {key!r}",
                where=str(getattr(record, "source", "")),
                cure="every judgment of a corpus needs its own id",
            )
        found[key] = record
    return found
