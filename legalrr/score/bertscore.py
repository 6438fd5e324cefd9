"""BERTScore by an encoder of one's choice (Zhang, Kishore, Wu, Weinberger, Artzi: BERTScore, ICLR 2020).

Every token of the generated text is matched with the most similar one of the court's, by the cosine of their hidden
states, and the other way round (section 3, without importance weights and without rescaling):

    precision = mean over generated tokens of max over court tokens of cos     recall the other way     F1 of both

As in the package bert-score, a special token such as [CLS] may be matched and is never averaged over. Scores mean
something beside scores of the same encoder and layer alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.backbones.local.checkpoint import open_layers
from legalrr.backbones.local.weights import content_digest, locate
from legalrr.errors import UserError
from legalrr.score.metrics import Pair
from legalrr.stage import check_fields, choice, runtime

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

OPTION = "encoder"
OVERLONG = ("error", "truncate", "windows")
UNKNOWN_LENGTH = 10**9
"""From here on a tokenizer's longest input means that nobody said."""


@dataclass(frozen=True, kw_only=True)
class BertScore:
    """BERTScore by one layer of one encoder (protocol `Metric`)."""

    encoder: str = runtime()
    """Folder with safetensors, or a hub id with `revision`."""
    revision: str | None = None
    """Commit (40 hexadecimal digits) of a hub encoder; None for local files."""
    layer: int
    """Layer whose states are compared, from 1."""
    window: int | None = None
    """Tokens that the encoder reads at once, special ones too; None: as many as its tokenizer says."""
    overlong: str = choice("error", *OVERLONG)
    """What happens to a longer text: `error`; `truncate`: its beginning alone is compared, as the package bert-score
    does; `windows`: all of it is, read in windows that overlap by half, a token's state from where it is nearer the
    middle."""
    device: str = runtime(default="cpu")
    """cpu, cuda, cuda:N or mps."""

    VERSION: ClassVar[int] = 1
    name: ClassVar[str] = "bertscore"
    shown: ClassVar[Mapping[str, str]] = {"bertscore": "BERTScore"}

    def __post_init__(self) -> None:
        """Refuse a choice that does not exist."""
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
        """The content digest of a local encoder, or the hub id of another; raises UserError where there is none."""
        path = locate(self.encoder, self.revision, option=OPTION)
        return {"hub": self.encoder} if path is None else {"sha256": content_digest(path)}

    def scores(self, pairs: Sequence[Pair]) -> Iterator[Mapping[str, float]]:
        """See `legalrr.score.metrics.Metric`; pairs with the same court's text in a row read it once.

        Raises:
            UserError: no such encoder or layer, or a text that is too long under `error`.
        """
        read: tuple[str, EncodedText] | None = None
        for generated, court in pairs:
            if read is None or read[0] != court:
                read = court, self.read(court)
            precision, recall, f1 = match(self.read(generated), read[1])
            yield {self.name: f1, f"{self.name}_precision": precision, f"{self.name}_recall": recall}

    def read(self, text: str) -> "EncodedText":
        """A text as the encoder reads it; raises UserError as `scores` does."""
        import torch

        model, tokenizer = _load(self)
        states, averaged = [], []
        for piece in self._pieces(text, tokenizer):
            ids = torch.tensor([piece.ids], device=model.device)
            with torch.inference_mode():
                found = model(ids, attention_mask=torch.ones_like(ids), output_hidden_states=True).hidden_states[-1]
            states.append(found[0, piece.kept])
            averaged += [not special for special in piece.special[piece.kept]]
        return EncodedText(states=torch.cat(states).float().cpu(), averaged=torch.tensor(averaged))

    def _pieces(self, text: str, tokenizer: "PreTrainedTokenizerBase") -> list["TextWindow"]:
        """The windows that a text is read in."""
        window = self._window(tokenizer)
        own = tokenizer.num_special_tokens_to_add()
        if window < own + 2:
            raise UserError(f"a window of {window} tokens", where=f"{OPTION}.window", cure=f"give {own + 2} or more")
        overlap = (window - own) // 2
        encoded = tokenizer(
            text.strip(),
            truncation=True,
            max_length=window,
            stride=overlap,
            return_overflowing_tokens=True,
            return_special_tokens_mask=True,
        )
        rows = list(zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True))
        if len(rows) > 1 and self.overlong == "error":
            raise UserError(
                f"a text of more than the {window} tokens that the encoder reads: {' '.join(text.split()[:8])} ...",
                where=f"{OPTION}.overlong",
                cure="use windows, or truncate, which compares its beginning alone",
            )
        if self.overlong == "truncate":
            rows = rows[:1]
        pieces = []
        for place, (ids, special) in enumerate(rows):
            start, end = 0, len(ids)
            if place:
                start = special.index(0) + overlap // 2
            if place < len(rows) - 1:
                end -= special[::-1].index(0) + overlap - overlap // 2
            pieces.append(TextWindow(ids=ids, special=special, kept=slice(start, end)))
        return pieces

    def _window(self, tokenizer: "PreTrainedTokenizerBase") -> int:
        if self.window is None and tokenizer.model_max_length >= UNKNOWN_LENGTH:
            raise UserError(
                "its tokenizer does not say how many tokens the encoder reads", where=f"{OPTION}.window", cure="say it"
            )
        return int(self.window or tokenizer.model_max_length)


@dataclass(frozen=True, kw_only=True)
class TextWindow:
    """A window of a text."""

    ids: list[int]
    """Its tokens, with the special ones of a text of its own."""
    special: list[int]
    """1 for each that is special."""
    kept: slice
    """Those whose states are taken from this window."""


@dataclass(frozen=True, kw_only=True)
class EncodedText:
    """A text as an encoder reads it."""

    states: "Tensor"
    """Hidden state of every token, float32 of shape (tokens, hidden)."""
    averaged: "Tensor"
    """Whether it is averaged over, which special tokens are not; bool of shape (tokens,)."""


def match(generated: EncodedText, court: EncodedText) -> tuple[float, float, float]:
    """Precision, recall and F1; 0 where a text has no token of its own."""
    import torch

    if not (generated.averaged.any() and court.averaged.any()):
        return 0.0, 0.0, 0.0
    units = (torch.nn.functional.normalize(one.states, dim=-1) for one in (generated, court))
    similar = torch.matmul(next(units), next(units).T)
    precision = float(similar.max(dim=1).values[generated.averaged].mean())
    recall = float(similar.max(dim=0).values[court.averaged].mean())
    return precision, recall, _f1(precision, recall)


def match_reference(generated: EncodedText, court: EncodedText) -> tuple[float, float, float]:
    """The same pair of tokens by pair of tokens: what `match` is checked against."""
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
