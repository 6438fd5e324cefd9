"""Define what each kind of stage offers, and count the calls that stages make.

Counting the answers of a model that a cell of a sweep used.

What each kind of stage offers. A stage is a frozen dataclass (`legalrr.stage`) that satisfies one of these
protocols.

A stage's constructor stores and checks its fields and computes nothing; whatever is heavy happens on the first call.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from legalrr.records import (
    Case,
    CompletedTurn,
    Completion,
    Document,
    Example,
    FinishReason,
    Judgment,
    Outcome,
    Page,
    Prompt,
    Scored,
    Segments,
    Verdict,
)
from legalrr.roles import Scheme
from legalrr.store import Store


@dataclass
class CallCounter:
    """How many answers were made for a cell, and how many lay in the store. Of cells that share a call, the first one
    that counts it made it."""

    fresh: set[str] = field(default_factory=set)
    """Keys of the calls that this process made and that no cell has counted yet; the cells of a sweep share the set."""
    made: int = 0
    """Answers that a model gave for this cell."""
    stored: int = 0
    """Answers that were there before."""

    def count(self, key: str) -> None:
        """Note that the answer to a call was used."""
        if key in self.fresh:
            self.fresh.remove(key)
            self.made += 1
        else:
            self.stored += 1


@runtime_checkable
class Corpus(Protocol):
    """A source of judgments."""

    @property
    def name(self) -> str:
        """Name in tables."""

    @property
    def split(self) -> str | None:
        """Split that is evaluated; None where the corpus has none."""

    @property
    def train_split(self) -> str | None:
        """Split that the learning baselines train on; None: they cross-validate on the evaluated split."""

    def read(self, split: str | None) -> Iterator[Judgment]:
        """Judgments of a split (None: all), in the order of the corpus; raises UserError with file and line or id."""


@runtime_checkable
class Segmenter(Protocol):
    """Finds the rhetorical roles of a judgment."""

    @property
    def name(self) -> str:
        """Name in tables."""

    @property
    def stored(self) -> bool:
        """Whether the result is worth keeping in the store."""

    @property
    def needs_gold(self) -> bool:
        """Whether it only passes on gold roles; judgments without any are then left out, and counted."""

    def provenance(self) -> Mapping[str, Any]:
        """JSON facts beyond the fields that the result depends on (digest of a model file); part of the identity."""

    def segment(self, judgment: Judgment) -> Segments:
        """Roles of one judgment; raises UserError where it cannot (no gold spans, no model file)."""


@runtime_checkable
class Tokens(Protocol):
    """Counts tokens as the model that will read them does."""

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may take together."""

    def token_ends(self, text: str) -> list[int]:
        """Offset one past the last character of each token of `text`, ascending; without special tokens."""


@runtime_checkable
class PageTokens(Tokens, Protocol):
    """Counts the tokens of page images too, as every engine does whose `can.images` is true."""

    def page_tokens(self, page: Page) -> int:
        """Tokens that the image of a page takes, with the marks around it; raises UserError where it cannot be
        drawn."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One thing asked of a model."""

    key: str
    """Key of the call in the store."""
    messages: tuple[Mapping[str, Any], ...]
    """The conversation, `{"role", "content"}` each (`legalrr.records.Message.fill`), ending with a user message."""
    max_new_tokens: int = 0
    """Where the answer is cut off; unused when answers are compared."""
    answers: tuple[str, ...] = ()
    """Answers to compare; empty when text is asked for."""
    final: bool = False
    """Whether the conversation ends with its answer, so that no state of it need be kept; no part of the key."""
    choices: tuple[str, ...] = ()
    """All that may be written, one of them and nothing else; empty: any text."""
    pages: tuple[Page, ...] = ()
    """The pages whose images stand in `messages`, in the same order, with their files; no part of the key."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back for one call."""

    text: str
    """The answer without special tokens; "" after an overflow or when answers were compared."""
    finish_reason: FinishReason
    """As in `CompletedTurn`."""
    prompt_tokens: int
    """Tokens of the conversation as sent, with the chat template."""
    cached_tokens: int
    """Of these, how many a cache already held."""
    new_tokens: int
    """Tokens written."""
    seconds: float
    """Wall time; a batch's time is shared equally among its members."""
    logprobs: Mapping[str, float] | None = None
    """Natural log-probability of each compared answer as a continuation."""

    def as_turn(self, name: str) -> CompletedTurn:
        """The reply as the turn called `name`."""
        return CompletedTurn(
            name=name,
            text=self.text,
            finish_reason=self.finish_reason,
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            new_tokens=self.new_tokens,
            seconds=self.seconds,
            logprobs=self.logprobs,
        )


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What an engine can do; a stage that needs more refuses by name."""

    logprobs: bool
    """Log-probabilities of given answers."""
    structured: bool
    """Answers restricted to given choices (`Call.choices`)."""
    images: bool
    """Page images in a prompt."""
    seed: bool
    """Sampling by a seed."""


@runtime_checkable
class Engine(Tokens, Protocol):
    """A backbone ready to answer."""

    @property
    def can(self) -> Abilities:
        """What it can do."""

    @property
    def holds(self) -> int | None:
        """Tokens whose states it can keep for conversations that begin the same way; None: that is not known."""

    def generate(self, calls: Sequence[Call]) -> Iterator[list[tuple[str, Reply]]]:
        """Answers, greedy unless configured otherwise and held to a call's `choices`, as (call key, reply), batch by
        batch, in an order that suits the engine."""

    def compare(self, calls: Sequence[Call]) -> Iterator[list[tuple[str, Reply]]]:
        """Log-probabilities of each call's `answers` as (call key, reply), batch by batch."""


@runtime_checkable
class OpenEngine(Engine, Protocol):
    """An engine whose model lies open, so that it can be measured."""

    def tokenise(self, text: str) -> list[int]:
        """The tokens of a text, without special ones."""

    def running(self) -> AbstractContextManager[Any]:
        """The model, a causal one of transformers, with the engine's precision and threads while it lasts."""


@runtime_checkable
class Backbone(Protocol):
    """A language model by configuration."""

    @property
    def name(self) -> str:
        """Name in tables."""

    def provenance(self) -> Mapping[str, Any]:
        """JSON facts beyond the fields that answers depend on (digest of a local file); part of a call's identity."""

    def load(self) -> Engine:
        """The engine; weights are loaded at the first call. Raises UserError for a model that is not there.

        Loading the same backbone again returns the same engine, so that the cells of a sweep share it.
        """


@runtime_checkable
class PricedBackbone(Backbone, Protocol):
    """A language model whose answers are paid for."""

    def cost(self, replies: Iterable[CompletedTurn]) -> float | None:
        """The money that answers cost; None where a price is not known."""


@runtime_checkable
class RepeatableBackbone(Backbone, Protocol):
    """A language model whose answers are drawn, so that an experiment can be run again with other draws."""

    def repeated(self, repetition: int) -> Backbone:
        """The same backbone for the run of this number, from 2 on: its answers are drawn, and kept, apart.

        Raises:
            UserError: as configured its answers are not drawn, so that every run would be the same.
        """


@dataclass(frozen=True, kw_only=True)
class PredictContext:
    """What a predictor may use."""

    engine: Engine | None
    """The loaded backbone, for predictors with `needs_backbone`."""
    calls: Store
    """Store of the calls of this backbone."""
    train: Sequence[Example]
    """Examples of the train split; empty where the corpus has none."""
    gold: Mapping[str, Outcome]
    """Outcomes of the cases, for baselines that cross-validate; a model never looks at them."""
    seed: int
    """Seed of whatever is random."""
    tally: CallCounter = field(default_factory=CallCounter)
    """Counts the answers that are used."""


@runtime_checkable
class AskingSegmenter(Segmenter, Protocol):
    """A segmenter that asks the pipeline's backbone; its own `segment` raises UserError."""

    def asking(self, engine: Engine, calls: Store) -> AbstractContextManager[Segmenter]:
        """The segmenter with a backbone; every answer is kept in `calls` as soon as its batch is back."""


@runtime_checkable
class Predictor(Protocol):
    """Answers prompts."""

    @property
    def needs_backbone(self) -> bool:
        """Whether `PredictContext.engine` is needed."""

    def predict(self, cases: Sequence[Case], bench: PredictContext) -> Iterator[Completion]:
        """One completion per case, in any order."""


@runtime_checkable
class Restructurer(Protocol):
    """Hides what tells the outcome, orders the rest, fits it into the budget."""

    def restructure(self, judgment: Judgment, segments: Segments, tokens: Tokens | None, reserve: int) -> Document:
        """The visible document; `reserve` tokens of the context are kept for prompt and answers. No limit if tokens is
        None."""


@runtime_checkable
class Annotator(Protocol):
    """Makes the prompt."""

    def reserve(self, scheme: Scheme, tokens: Tokens) -> int:
        """Tokens that the longest arm needs beside the judgment: the same for all arms, so that all show the same
        text."""

    def annotate(self, judgment: Judgment, document: Document) -> Prompt:
        """What a model is asked about one document."""


@runtime_checkable
class VerdictReader(Protocol):
    """Reads the verdict."""

    def read(self, completion: Completion, prompt: Prompt) -> Verdict:
        """What the completion's last answer says."""


@runtime_checkable
class Meter(Protocol):
    """Measures a backbone by itself, whatever it is asked."""

    def measure(self, backbone: Backbone, corpus: Corpus) -> Mapping[str, Any]:
        """What it finds, as plain JSON values; raises UserError for a backbone that it cannot measure."""


@runtime_checkable
class Scorer(Protocol):
    """Computes scores."""

    def score(self, cases: Sequence[Scored]) -> Mapping[str, Any]:
        """Scores as plain JSON values."""
