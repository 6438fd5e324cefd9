"""Compute BERTScore with a given encoder and layer (Zhang, Kishore, Wu, Weinberger, Artzi: BERTScore, ICLR 2020).

Every token of the generated text is matched with the most similar token of the court's, by cosine similarity of their
hidden states, and vice versa (section 3, without importance weights and without rescaling):

    precision = mean over generated tokens of max over court tokens of cos     recall vice versa     F1 of both

As in the package bert-score, special tokens such as [CLS] can be matched but do not count in averages. Scores are
comparable only for the same encoder and layer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.backbones.local.checkpoint import open_layers
from legalrr.backbones.local.model_files import content_digest, locate
from legalrr.errors import UserError
from legalrr.score.metrics import Pair
from legalrr.stage import check_fields, choice, runtime

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

OPTION = "encoder"
OVERLONG = ("error", "truncate", "windows")
UNKNOWN_LENGTH = 10**9
"""A tokenizer's maximum length from here on means that it is not set."""


@dataclass(frozen=True, kw_only=True)
class BertScore:
    """BERTScore by one layer of one encoder (protocol `Metric`)."""

    encoder: str = runtime()
    """Folder with safetensors, or a hub id with `revision`."""
    revision: str | None = None
    """Commit of a hub encoder; None for local files."""
    layer: int
    """Layer whose states are compared, from 1."""
    window: int | None = None
    """Maximum input length in tokens, including special ones; None: that of the tokenizer."""
    overlong: str = choice("error", *OVERLONG)
    """Handling of longer texts: `error`; `truncate`: compare the first tokens only, as the package bert-score does;
    `windows`: encode windows that overlap by half, and take each token's state from the window where it is nearer the
    middle."""
    device: str = runtime(default="cpu")
    """cpu, cuda, cuda:N or mps."""

    VERSION: ClassVar[int] = 1
    name: ClassVar[str] = "bertscore"
    headings: ClassVar[Mapping[str, str]] = {"bertscore": "BERTScore"}

    def __post_init__(self) -> None:
        """Raise UserError for an unknown choice."""
        check_fields(self, OPTION)

    @property
    def detail(self) -> str:
        """See `legalrr.score.metrics.Metric`."""
        name = Path(self.encoder).name if self.revision is None else f"{self.encoder} at {self.revision[:8]}"
        longer = {
            "error": "no text is longer than it reads",
            "truncate": "of longer texts the beginning",
            "windows": "longer texts in windows",
        }
        return f"F1, encoder {name}, layer {self.layer}, {longer[self.overlong]}"

    def provenance(self) -> Mapping[str, Any]:
        """Return the content digest of a local encoder, or the hub id; raises UserError if the encoder is missing."""
        path = locate(self.encoder, self.revision, option=OPTION)
        return {"hub": self.encoder} if path is None else {"sha256": content_digest(path)}

    def scores(self, pairs: Sequence[Pair]) -> Iterator[Mapping[str, float]]:
        """See `legalrr.score.metrics.Metric`; consecutive pairs with the same court's text encode it once.

        Raises:
            UserError: no such encoder or layer, or a text that is too long under `error`.
        """
        cached: tuple[str, EncodedText] | None = None
        for generated, court in pairs:
            if cached is None or cached[0] != court:
                cached = court, self.encode(court)
            precision, recall, f1 = match(self.encode(generated), cached[1])
            yield {self.name: f1, f"{self.name}_precision": precision, f"{self.name}_recall": recall}

    def encode(self, text: str) -> "EncodedText":
        """Encode a text; raises UserError as `scores` does."""
        import torch

        model, tokenizer = _load(self)
        states, averaged = [], []
        for window in self._windows(text, tokenizer):
            ids = torch.tensor([window.ids], device=model.device)
            with torch.inference_mode():
                found = model(ids, attention_mask=torch.ones_like(ids), output_hidden_states=True).hidden_states[-1]
            states.append(found[0, window.kept])
            averaged += [not special for special in window.special[window.kept]]
        return EncodedText(states=torch.cat(states).float().cpu(), averaged=torch.tensor(averaged))

    def _windows(self, text: str, tokenizer: "PreTrainedTokenizerBase") -> list["TextWindow"]:
        """Tokenize a text into windows."""
        length = self._window_length(tokenizer)
        own = tokenizer.num_special_tokens_to_add()
        if length < own + 2:
            raise UserError(f"a window of {length} tokens", where=f"{OPTION}.window", cure=f"use {own + 2} or more")
        overlap = (length - own) // 2
        encoded = tokenizer(
            text.strip(),
            truncation=True,
            max_length=length,
            stride=overlap,
            return_overflowing_tokens=True,
            return_special_tokens_mask=True,
        )
        rows = list(zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True))
        if len(rows) > 1 and self.overlong == "error":
            raise UserError(
                f"text longer than the encoder's {length} tokens: {' '.join(text.split()[:8])} ...",
                where=f"{OPTION}.overlong",
                cure="use windows, or truncate, which compares the first tokens only",
            )
        if self.overlong == "truncate":
            rows = rows[:1]
        windows = []
        for number, (ids, special) in enumerate(rows):
            start, end = 0, len(ids)
            if number:
                start = special.index(0) + overlap // 2
            if number < len(rows) - 1:
                end -= special[::-1].index(0) + overlap - overlap // 2
            windows.append(TextWindow(ids=ids, special=special, kept=slice(start, end)))
        return windows

    def _window_length(self, tokenizer: "PreTrainedTokenizerBase") -> int:
        if self.window is None and tokenizer.model_max_length >= UNKNOWN_LENGTH:
            raise UserError(
                "the tokenizer has no maximum length",
                where=f"{OPTION}.window",
                cure="set the encoder's input length in tokens",
            )
        return int(self.window or tokenizer.model_max_length)


@dataclass(frozen=True, kw_only=True)
class TextWindow:
    """Window of a tokenized text."""

    ids: list[int]
    """Token ids, including special tokens."""
    special: list[int]
    """1 for each special token, else 0."""
    kept: slice
    """Tokens whose states are taken from this window."""


@dataclass(frozen=True, kw_only=True)
class EncodedText:
    """Hidden states of a text."""

    states: "Tensor"
    """Hidden state of every token, float32 of shape (tokens, hidden)."""
    averaged: "Tensor"
    """Whether the token counts in averages, which special tokens do not; bool of shape (tokens,)."""


def match(generated: EncodedText, court: EncodedText) -> tuple[float, float, float]:
    """Compute precision, recall and F1; 0 if a text has only special tokens."""
    import torch

    if not (generated.averaged.any() and court.averaged.any()):
        return 0.0, 0.0, 0.0
    units = (torch.nn.functional.normalize(one.states, dim=-1) for one in (generated, court))
    similar = torch.matmul(next(units), next(units).T)
    precision = float(similar.max(dim=1).values[generated.averaged].mean())
    recall = float(similar.max(dim=0).values[court.averaged].mean())
    return precision, recall, _f1(precision, recall)


def match_reference(generated: EncodedText, court: EncodedText) -> tuple[float, float, float]:
    """Compute the same by a loop over pairs of tokens: the reference for `match`."""
    sides = []
    for own, other in ((generated, court), (court, generated)):
        best = []
        for state, averaged in zip(own.states, own.averaged, strict=True):
            if averaged:
                best.append(max(float(state @ one / (state.norm() * one.norm())) for one in other.states))
        sides.append(sum(best) / len(best) if best else 0.0)
    if not (generated.averaged.any() and court.averaged.any()):
        return 0.0, 0.0, 0.0
    return sides[0], sides[1], _f1(*sides)


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@lru_cache(maxsize=1)
def _load(metric: BertScore) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    return open_layers(
        metric.encoder,
        metric.revision,
        layer=metric.layer,
        device=metric.device,
        option=OPTION,
        layer_option=f"{OPTION}.layer",
    )
