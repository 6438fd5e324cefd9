"""Protocols of the stages, and the calls, replies and counters that they exchange.

A stage is a frozen dataclass (`legalrr.stage`) that satisfies one of these protocols. Its constructor stores and checks
its fields and computes nothing; expensive work happens on the first call.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from legalrr.key_set import Keys, KeySet
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
    """Number of answers that a cell got from the model and from the store.

    An answer that several cells share counts as made for the first cell that uses it.
    """

    fresh: Keys = field(default_factory=KeySet)
    """Keys of the calls that this process made and no cell has counted yet; shared by the cells of a sweep."""
    made: int = 0
    """Answers that the model generated for this cell."""
    stored: int = 0
    """Answers that were already in the store."""
    retried: Keys | None = None
    """Keys of refused calls that this process made again, shared by the cells; None: no refused call is."""

    def count(self, key: str) -> None:
        """Count one use of the answer to a call."""
        if key in self.fresh:
            self.fresh.remove(key)
            self.made += 1
        else:
            self.stored += 1


@runtime_checkable
class Corpus(Protocol):
    """Source of judgments."""

    @property
    def name(self) -> str:
        """Name in tables."""

    @property
    def split(self) -> str | None:
        """Split that is evaluated; None if the corpus has no splits."""

    @property
    def train_split(self) -> str | None:
        """Split that the trained baselines learn from; None: they cross-validate on the evaluated split."""

    def read(self, split: str | None) -> Iterator[Judgment]:
        """Yield the judgments of a split (None: all) in corpus order; raises UserError with file and line or id."""


@runtime_checkable
class Segmenter(Protocol):
    """Tagger of rhetorical roles."""

    @property
    def name(self) -> str:
        """Name in tables."""

    @property
    def stored(self) -> bool:
        """Whether its results are kept in the store."""

    @property
    def needs_gold(self) -> bool:
        """Whether it only returns gold roles; judgments without gold roles are then excluded and counted."""

    def provenance(self) -> Mapping[str, Any]:
        """Return further JSON facts that the result depends on (digest of a model file); part of the identity."""

    def segment(self, judgment: Judgment) -> Segments:
        """Return the roles of one judgment; raises UserError if it cannot (no gold spans, no model file)."""


@runtime_checkable
class Tokens(Protocol):
    """Token counts of the model that reads the prompt."""

    @property
    def context(self) -> int:
        """Context length in tokens, for prompt and answer together."""

    def token_ends(self, text: str) -> list[int]:
        """Return the end offset (exclusive) of each token of `text`, ascending; without special tokens."""


@runtime_checkable
class PageTokens(Tokens, Protocol):
    """Token counts of text and page images; every engine with `can.images` satisfies it."""

    def page_tokens(self, page: Page) -> int:
        """Return the tokens of a page image, with its delimiters; raises UserError if it cannot be rendered."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request to a model."""

    key: str
    """Key of the call in the store."""
    messages: tuple[Mapping[str, Any], ...]
    """The conversation as `{"role", "content"}` (`legalrr.records.Message.fill`), ending with a user message."""
    max_new_tokens: int = 0
    """Length limit of the answer in tokens; unused when answers are compared."""
    answers: tuple[str, ...] = ()
    """Answers to compare; empty: generate text."""
    final: bool = False
    """Whether the conversation ends here, so that its prefix need not stay cached; not part of the key."""
    choices: tuple[str, ...] = ()
    """Allowed answers for constrained decoding; empty: any text."""
    pages: tuple[Page, ...] = ()
    """Pages of the images in `messages`, in the same order, with their files; not part of the key."""
    about: str = ""
    """Id of the judgment: calls about the same one go to the same server; not part of the key."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """Answer to one call."""

    text: str
    """The answer, without special tokens; "" after an overflow or when answers were compared."""
    finish_reason: FinishReason
    """As in `CompletedTurn`."""
    prompt_tokens: int
    """Tokens of the prompt, with the chat template."""
    cached_tokens: int
    """Of these, tokens found in a prefix cache."""
    new_tokens: int
    """Tokens generated."""
    seconds: float
    """Wall time in seconds; the time of a batch is divided equally among its members."""
    logprobs: Mapping[str, float] | None = None
    """Natural log-probability of each compared answer as a continuation."""
    error: str | None = None
    """Why the engine refuses this call, while it answers others; such a reply has no text."""

    def as_record(self) -> dict[str, Any]:
        """Return the reply as stored; that of an answer has no `error`."""
        return {name: value for name, value in asdict(self).items() if name != "error" or value is not None}

    def as_turn(self, name: str) -> CompletedTurn:
        """Return the reply as the completed turn `name`."""
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
    """Features of an engine; a stage that needs a missing one raises UserError."""

    logprobs: bool
    """Log-probabilities of given answers."""
    structured: bool
    """Answers restricted to given choices (`Call.choices`)."""
    images: bool
    """Page images in a prompt."""
    seed: bool
    """Sampling by a seed."""


class CallQueue(Protocol):
    """Calls that wait for an answer. The answers to earlier calls bring further ones."""

    @property
    def folder(self) -> Path | None:
        """Folder where answers are stored as they come, and where an engine notes what it has begun; None: nowhere."""

    def take(self, room: int | None = None) -> Sequence[Call]:
        """Remove the next calls from the queue, and return them; none if none can be made before another is answered.

        Args:
            room: maximum number of calls; None: as many as an engine that batches them should choose from.
        """


@runtime_checkable
class Engine(Tokens, Protocol):
    """Loaded backbone that answers calls."""

    @property
    def can(self) -> Abilities:
        """Supported features."""

    @property
    def holds(self) -> int | None:
        """Capacity of the prefix cache in tokens; None: unknown."""

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        """Yield batches of (call key, reply) as they come, until no call waits or is under way.

        A call without `answers` generates text: greedy unless configured otherwise, and constrained to its `choices`.
        Others return the log-probabilities of their `answers`. After every batch, `queue` may have further calls.

        Raises:
            UserError: the engine cannot answer a call; replies that came before are yielded.
        """


@runtime_checkable
class PromptTokens(Engine, Protocol):
    """Engine that counts prompts without running its model, for `legalrr plan`."""

    def prompt_ids(self, call: Call) -> list[int]:
        """Return the token ids of the prompt of a call, up to the start of the answer.

        Prompts with a common prefix have ids with a common prefix. The ids need not be those of a vocabulary.

        Raises:
            UserError: the chat template rejects the conversation.
        """


@runtime_checkable
class OpenEngine(Engine, Protocol):
    """Engine that gives access to its model, for measurements."""

    def tokenise(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens."""

    def running(self) -> AbstractContextManager[Any]:
        """Open the causal language model (transformers), with the engine's precision and threads inside the context."""


@runtime_checkable
class Backbone(Protocol):
    """Configuration of a language model."""

    @property
    def name(self) -> str:
        """Name in tables."""

    def provenance(self) -> Mapping[str, Any]:
        """Return further JSON facts that answers depend on (digest of a local file); part of a call's identity."""

    def load(self) -> Engine:
        """Return the engine, the same for the same backbone; its weights are loaded at the first call.

        Raises UserError for a missing model.
        """


@runtime_checkable
class PricedBackbone(Backbone, Protocol):
    """Backbone whose answers cost money."""

    def cost(self, replies: Iterable[CompletedTurn]) -> float | None:
        """Return the cost of answers; None if a price is unknown."""


@runtime_checkable
class KeyedBackbone(Backbone, Protocol):
    """Backbone that may need a key of the user's."""

    def key(self) -> str | None:
        """Return the key, None if it needs none; raises UserError if it is not set."""


@runtime_checkable
class RepeatableBackbone(Backbone, Protocol):
    """Backbone that samples its answers, so that an experiment can be repeated with new samples."""

    def repeated(self, repetition: int) -> Backbone:
        """Return the backbone for repetition 2, 3, ...: its answers are sampled and stored separately.

        Raises:
            UserError: the configuration does not sample, so that every repetition would be the same.
        """


@runtime_checkable
class HubStage(Protocol):
    """Stage that reads files of the Hugging Face hub, at a revision that may be a branch or a tag."""

    def resolved(self) -> Self:
        """Return the stage with the commit of its revision, which identifies the files.

        Raises:
            UserError: the revision is unknown, or the hub cannot be reached (`legalrr.hub.resolve_commit`).
        """


@dataclass(frozen=True, kw_only=True)
class PredictContext:
    """Resources of a predictor."""

    engine: Engine | None
    """The loaded backbone, for predictors with `needs_backbone`."""
    calls: Store
    """Stored answers of this backbone."""
    train: Sequence[Example]
    """Examples of the train split; empty if the corpus has none."""
    gold: Mapping[str, Outcome]
    """Outcomes of the cases, for baselines that cross-validate; never shown to a model."""
    seed: int
    """Seed of random choices."""
    call_counter: CallCounter = field(default_factory=CallCounter)
    """Counts the answers used."""


@runtime_checkable
class AskingSegmenter(Segmenter, Protocol):
    """Segmenter that prompts the pipeline's backbone; its own `segment` raises UserError."""

    def asking(self, engine: Engine, calls: Store) -> AbstractContextManager[Segmenter]:
        """Return the segmenter with a backbone; answers are added to `calls` batch by batch."""


@runtime_checkable
class Predictor(Protocol):
    """Source of answers: a language model or a baseline."""

    @property
    def needs_backbone(self) -> bool:
        """Whether `PredictContext.engine` is needed."""

    def predict(self, cases: Sequence[Case], context: PredictContext) -> Iterator[Completion]:
        """Yield one completion per case, in any order."""


@runtime_checkable
class Restructurer(Protocol):
    """Stage that hides what reveals the outcome, orders the rest and fits it into the budget."""

    def restructure(self, judgment: Judgment, segments: Segments, tokens: Tokens | None, reserve: int) -> Document:
        """Return the visible document of a judgment with these roles.

        Args:
            tokens: counts tokens; None: no limit.
            reserve: tokens of the context reserved for prompt and answers.
        """


@runtime_checkable
class Annotator(Protocol):
    """Stage that builds the prompt."""

    def reserve(self, scheme: Scheme, tokens: Tokens) -> int:
        """Return the tokens that the longest arm needs besides the judgment, so that all arms show the same text."""

    def annotate(self, judgment: Judgment, document: Document) -> Prompt:
        """Return the prompt about one document."""


@runtime_checkable
class VerdictReader(Protocol):
    """Stage that reads the predicted outcome from a completion."""

    def read(self, completion: Completion, prompt: Prompt) -> Verdict:
        """Return the outcome that the last answer states."""


@runtime_checkable
class Meter(Protocol):
    """Measurement of a backbone, independent of prompts."""

    def measure(self, backbone: Backbone, corpus: Corpus) -> Mapping[str, Any]:
        """Return the measurements as JSON values; raises UserError for a backbone that it cannot measure."""


@runtime_checkable
class Scorer(Protocol):
    """Stage that computes scores."""

    def score(self, cases: Sequence[Scored]) -> Mapping[str, Any]:
        """Return the scores as JSON values."""
