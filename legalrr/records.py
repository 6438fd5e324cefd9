"""The records that travel from stage to stage: frozen, keyword-only, joined by `id`, never by position.

    corpus --Judgment--> segment --Segments--> restructure --Document--> annotate --Prompt--> predict --Completion-->
    verdict --Verdict--> score

Character offsets are Python string offsets into `Judgment.text`, half-open: `text[start:end]`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from legalrr.errors import UserError

Outcome = Literal["allowed", "dismissed"]
OUTCOMES: tuple[Outcome, Outcome] = ("allowed", "dismissed")
Party = Literal["appellant", "petitioner", "plaintiff"]
PARTIES: tuple[Party, ...] = ("appellant", "petitioner", "plaintiff")
FinishReason = Literal["stop", "length", "overflow"]
HideReason = Literal["role", "headnote", "verdict", "closing", "uncovered", "repeat"]


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of a judgment under one rhetorical role."""

    start: int
    """Offset of the first character."""
    end: int
    """Offset one past the last character; `end > start`."""
    role: str
    """A role of the scheme (`legalrr.roles`)."""
    score: float = 1.0
    """Probability that the tagger gives the role; 1.0 for gold."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the PDF that a judgment was read from; `legalrr.corpora.pdf_folder` draws it."""

    path: str
    """The file."""
    number: int
    """Number of the page in the file, from 1, whatever is printed on it."""
    sha256: str
    """Digest of the file: with `number` and `dpi` it says what is seen, whatever the file is called."""
    start: int
    """Offset of its first character in the judgment, which may stand inside of a word that two pages share."""
    end: int
    """Offset one past its last; equal to `start` on a page without text."""
    dpi: int | None = None
    """Dots per inch at which it is shown to a model as an image; None: only its text is."""

    def seen(self) -> dict[str, Any]:
        """What tells its image from any other one, as JSON values: never where its file is."""
        return {"sha256": self.sha256, "number": self.number, "dpi": self.dpi}


@dataclass(frozen=True, kw_only=True)
class Judgment:
    """One judgment as its corpus has it. The text is never changed again; later stages point into it."""

    id: str
    """Unique within its corpus."""
    text: str
    """The whole text, not normalised; "" where all there is are images of pages."""
    outcome: Outcome | None = None
    """Allowed (even in part) or dismissed for `party`; None where nobody knows."""
    party: Party | None = None
    """The party that came to the court, and that "decided in favour of" refers to; None where the corpus does not say
    (then `legalrr.annotate.party` looks)."""
    petitioner: str | None = None
    """That party's name, where the corpus gives it."""
    confidence: str | None = None
    """How sure the label's reader was: high, medium or low; None where not stated."""
    court: str | None = None
    """Name of the court; None where the corpus does not say (then `legalrr.annotate.party` looks)."""
    year: int | None = None
    """Year of the decision."""
    kind: str | None = None
    """Kind of matter (criminal, tax, ...), as the corpus has it."""
    group: str | None = None
    """Judgments of one group (written as a pair, near-duplicates) are never split between the folds of a
    cross-validation; None: it stands alone."""
    source: str = ""
    """File (and line or row) that it was read from, for messages."""
    split: str | None = None
    """Split of the corpus (train, dev, test) where it has any."""
    scheme: str | None = None
    """Scheme of `spans`, a name in `legalrr.roles`; None without gold roles."""
    spans: tuple[Span, ...] | None = None
    """Gold spans, ordered and disjoint; None without gold roles."""
    pages: tuple[Page, ...] = ()
    """Pages of the PDF that it was read from, in order, without blank ones; empty where it was read from text."""


@dataclass(frozen=True, kw_only=True)
class Segments:
    """The rhetorical roles of one judgment."""

    id: str
    """The judgment's id."""
    scheme: str
    """Name of the role scheme."""
    spans: tuple[Span, ...]
    """Ordered and disjoint; what no span covers has no role."""


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """A stretch that the model must not see."""

    start: int
    """Offset of the first character in the judgment."""
    end: int
    """Offset one past the last."""
    role: str
    """Its role, or "" where no span covers it."""
    reason: HideReason
    """role: a decisive role, or a precedent that the court rejects; headnote: the law reporter's headnote; verdict: the
    court's verdict or view under another role; closing: the law reporter's closing line; uncovered: the end of a
    judgment that no span covers; repeat: repeats a hidden sentence."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A visible stretch of the judgment."""

    role: str
    """Its role, or "" where no span covers it."""
    start: int
    """Offset of the first character in the judgment."""
    text: str
    """The words, equal to the judgment's text from `start` on."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """The judgment as the model will see it."""

    id: str
    """The judgment's id."""
    scheme: str
    """Name of the role scheme."""
    headings: bool
    """Whether blocks are grouped under a heading per role (R)."""
    blocks: tuple[Block, ...]
    """What is shown, in the order in which it is shown; of a judgment shown as images, the text of the shown pages."""
    hidden: tuple[Hidden, ...] = ()
    """What is not shown because it would tell the outcome, in order of offset."""
    dropped_tokens: int = 0
    """Tokens left out to keep within the budget."""
    skipped: bool = False
    """Left out altogether by the overflow policy `skip`: too long, or no page of it may be shown."""
    pages: tuple[Page, ...] = ()
    """The pages that are shown as images, in order, in the place of text; empty where the text is shown."""
    hidden_pages: tuple[Page, ...] = ()
    """The pages that are not shown because they may tell the outcome."""

    @property
    def pictured(self) -> bool:
        """Whether the judgment is shown as images of its pages."""
        return bool(self.pages or self.hidden_pages)

    def render(self, headings: Mapping[str, str]) -> str:
        """The shown text: blocks one under another, under R with a heading (role code -> heading) above each group."""
        lines: list[str] = []
        last: str | None = None
        for block in self.blocks:
            if self.headings and block.role != last:
                lines.append(f"\n{headings.get(block.role, 'Other')}:")
            last = block.role
            lines.append(block.text)
        return "\n".join(lines).strip()


_HALF = re.compile("[\ud800-\udfff]")


def whole(text: str) -> str:
    """The text of a model with half characters (surrogates) as U+FFFD, character by character.

    An answer that was cut off within a character may end in half of one. What is stored keeps it; no tokenizer and no
    request takes it, so this is what is sent on or given to a metric.
    """
    return _HALF.sub("\ufffd", text)


@dataclass(frozen=True, kw_only=True)
class Quote:
    """Stands in a message for the answer that an earlier turn brought."""

    turn: str
    """Name of the quoted turn."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of a conversation, with quotations still open and images not yet drawn."""

    role: Literal["system", "user", "assistant"]
    """Who speaks."""
    parts: tuple[str | Quote | Page, ...]
    """Literal text, quotations and pages to show as images, in order. Text is never searched for place-holders, so a
    judgment may hold any."""

    def fill(self, answers: Mapping[str, str]) -> dict[str, Any]:
        """The message as `{"role", "content"}` with `answers` (turn name -> text) put in, as `whole` has them; raises
        KeyError if one lacks.

        The content is a text or, where there are images, a list of `{"type": "text", "text"}` and `{"type": "image"}`
        with what tells the page (`Page.seen`).
        """
        content: list[dict[str, Any]] = []
        text = ""
        for part in self.parts:
            if isinstance(part, Page):
                content += [*_text_part(text), {"type": "image", **part.seen()}]
                text = ""
            else:
                text += whole(answers[part.turn]) if isinstance(part, Quote) else part
        return {"role": self.role, "content": [*content, *_text_part(text)] if content else text}

    @property
    def pages(self) -> tuple[Page, ...]:
        """The pages that are shown in it, in order."""
        return tuple(part for part in self.parts if isinstance(part, Page))


def _text_part(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}] if text else []


@dataclass(frozen=True, kw_only=True)
class PromptTurn:
    """One call: the whole conversation that is sent, ending with a user message."""

    name: str
    """analysis, statutes, ratio, ruling or answer."""
    messages: tuple[Message, ...]
    """The conversation up to the answer that is asked for."""
    max_new_tokens: int
    """Where the answer is cut off."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Everything one arm asks about one judgment. A chain is data: the plain arm is the same with fewer turns."""

    id: str
    """The judgment's id."""
    turns: tuple[PromptTurn, ...]
    """In the order in which they are asked; the last one asks for YES or NO."""
    blank: PromptTurn | None = None
    """The last turn about a judgment without content, for taking the prior off; only one-turn prompts have it."""
    party: Party | None = None
    """Role of the party that the question is about; None where the judgment does not tell it."""


@dataclass(frozen=True, kw_only=True)
class CompletedTurn:
    """One answer of a model, or what kept it from answering."""

    name: str
    """The prompt turn's name."""
    text: str
    """The answer, without special tokens; "" after an overflow."""
    finish_reason: FinishReason
    """stop: the model ended; length: cut off at `max_new_tokens`; overflow: the prompt does not fit the context."""
    prompt_tokens: int = 0
    """Tokens of the conversation sent."""
    cached_tokens: int = 0
    """Of these, how many a cache already held."""
    new_tokens: int = 0
    """Tokens written."""
    seconds: float = 0.0
    """Wall time; a batch's time is shared equally among its members."""
    logprobs: Mapping[str, float] | None = None
    """Log-probability (natural logarithm) of each answer compared, where answers were compared."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What came back for one prompt."""

    id: str
    """The judgment's id."""
    turns: tuple[CompletedTurn, ...]
    """In the order asked; shorter than the prompt after an overflow or an error."""
    error: str | None = None
    """What a failing engine said, where it failed for this judgment alone."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the last answer says."""

    id: str
    """The judgment's id."""
    label: Literal["allowed", "dismissed", "invalid"]
    """`invalid` is no class: it is a miss in the class of the gold outcome."""
    reason: Literal["matched", "unparsed", "budget", "overflow", "error"]
    """budget: cut off before it ended; overflow: never asked, as the prompt does not fit; error: the engine failed."""
    span: tuple[int, int] | None = None
    """Where in the last turn's text the label was read; None unless matched."""
    p_allowed: float | None = None
    """Probability of `allowed` where the probabilities of the answers were compared."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a predictor is given about one judgment: never its outcome."""

    judgment: Judgment
    """The judgment with `outcome` and gold spans taken out."""
    document: Document
    """What may be seen of it."""
    prompt: Prompt
    """What a model is asked about it."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One judged case: all that scores are computed from."""

    id: str
    """The judgment's id."""
    gold: Outcome
    """The true outcome."""
    label: Literal["allowed", "dismissed", "invalid"]
    """The predicted one."""
    cut_off: bool = False
    """Whether any of its turns was cut off."""
    p_allowed: float | None = None
    """Probability of `allowed`, where known."""
    cluster: str = ""
    """Name that the judgment shares with those that it nearly repeats (`legalrr.near_duplicates`); "": it stands
    alone."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A judgment with its outcome, for the baselines that learn."""

    judgment: Judgment
    """The judgment; its `outcome` is set."""
    document: Document
    """What may be seen of it."""


R = TypeVar("R")


def by_id(records: Iterable[R]) -> dict[str, R]:
    """Records as a mapping from their `id`, in order; raises UserError on a duplicate."""
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
