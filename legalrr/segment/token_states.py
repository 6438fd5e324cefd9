"""Read the tokens of a judgment by the lower layers of a language model, once.

The adapted tagger trains only layers above these. Their output is cached, so that an epoch costs the upper layers
alone. Input are the sentences, one per line, as in `legalrr.segment.sentence_embeddings`; a long judgment is read in
overlapping windows, and the state of a token is taken from the first window with it.
"""

import io
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from legalrr.backbones.local.checkpoint import open_layers
from legalrr.backbones.local.model_files import cache_root
from legalrr.backbones.local.weights import torch_settings
from legalrr.errors import UserError
from legalrr.files import make_folder, write_atomically
from legalrr.segment.sentence_embeddings import OPTION, PRECISIONS, LanguageModel, tokenize
from legalrr.stage import check_fields, choice, digest

if TYPE_CHECKING:
    import numpy as np
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from legalrr.segment.adapted_layers import LanguageModelLayers

ARCHITECTURES = ("llama",)
"""Architectures (transformers' `model_type`) whose layers can be run one by one: states pass unscaled between them."""
LARGEST = 65504.0
"""Largest number of float16, the data type of the cache."""


@dataclass(frozen=True, kw_only=True)
class TokenStates:
    """States of the tokens of one judgment."""

    values: "np.ndarray"
    """Output of the lower layers, float16 [tokens, hidden]."""
    owners: "np.ndarray"
    """Index of the sentence in which each token begins, int64 [tokens], ascending."""


@dataclass(frozen=True, kw_only=True)
class AdapterShape:
    """Sizes of what is trained in and on the layers, and of the blocks."""

    rank: int = 8
    """Rank of the adapters."""
    pools: int = 2
    """Learned means of a sentence, beside the plain one."""
    block: int = 512
    """Tokens of a block."""
    margin: int = 128
    """Tokens read on either side of a block."""

    def __post_init__(self) -> None:
        """Raise UserError for a size that is too small."""
        for option, value, least in (
            ("--rank", self.rank, 1),
            ("--pools", self.pools, 0),
            ("--block", self.block, 1),
            ("--margin", self.margin, 0),
        ):
            if value < least:
                raise UserError(f"{value}", where=option, cure=f"give at least {least}")


@dataclass(frozen=True, kw_only=True)
class TokenReader:
    """Which layers of a language model are read once, and which are trained."""

    language_model: LanguageModel = field(default_factory=LanguageModel)
    """The language model, of the Llama architecture."""
    lower: int = 12
    """Number of layers that read once, frozen and causally."""
    upper: int = 4
    """Number of layers above them that are trained; those above are not loaded."""
    window: int = 2048
    """Tokens of a window of the lower layers."""
    overlap: int = 256
    """Tokens that a window shares with the previous one."""
    matmul_precision: str = choice("medium", *PRECISIONS)
    """As in `legalrr.segment.sentence_embeddings.SentenceEmbedder`."""

    def __post_init__(self) -> None:
        """Raise UserError for windows without progress, no layers, or an unknown precision."""
        if not 0 <= self.overlap < self.window:
            raise UserError(
                f"an overlap of {self.overlap} tokens in a window of {self.window}",
                where="--overlap",
                cure="give at least 0 and less than the window",
            )
        for option, count in (("--lower", self.lower), ("--upper", self.upper)):
            if count < 1:
                raise UserError(f"{count} layers", where=option, cure="give at least 1")
        check_fields(self, "")

    def settings(self) -> dict[str, Any]:
        """Return the settings beside the model, as JSON."""
        return {
            "lower": self.lower,
            "upper": self.upper,
            "window": self.window,
            "overlap": self.overlap,
            "matmul_precision": self.matmul_precision,
        }

    def identity(self) -> Mapping[str, Any]:
        """Return all that the states depend on, as JSON: the settings, and the content digest of the model."""
        read = {name: value for name, value in self.settings().items() if name != "upper"}
        return {**read, **self.language_model.provenance()}

    def read(self, sentences: Sequence[str]) -> TokenStates:
        """Compute the states of the tokens.

        Raises:
            UserError: no such model, one of another architecture, or it has fewer layers.
        """
        import numpy as np
        import torch

        from legalrr.segment.adapted_layers import LanguageModelLayers

        model, tokenizer = _load_model(self)
        run = LanguageModelLayers(layers=list(model.layers)[: self.lower], rotary=model.rotary_emb)
        tokens, owners = tokenize(tokenizer, sentences)
        values = np.zeros((len(tokens), model.config.hidden_size), np.float16)
        start = done = 0
        while done < len(tokens):
            window = torch.tensor([tokens[start : start + self.window]], device=model.device)
            with torch.inference_mode(), torch_settings(self.matmul_precision, None):
                states = run(model.embed_tokens(window))[0, done - start :]
            values[done : start + self.window] = states.float().clamp(-LARGEST, LARGEST).cpu().numpy()
            done = min(start + self.window, len(tokens))
            start = done - self.overlap
        return TokenStates(values=values, owners=owners)

    def read_cached(self, sentences: Sequence[str]) -> TokenStates:
        """Read as `read` and cache the states in float16 under `<cache>/tokens`; the file is mapped, not loaded."""
        import numpy as np

        _, tokenizer = _load_model(self)
        tokens, owners = tokenize(tokenizer, sentences)
        path = cache_root() / "tokens" / digest(self.identity())[:16] / f"{digest(list(sentences))}.npy"
        if not path.is_file():
            make_folder(path.parent)
            content = io.BytesIO()
            np.save(content, self.read(sentences).values, allow_pickle=False)
            write_atomically(path, content.getvalue())
        # An empty file cannot be mapped. Copy on write, as torch warns of memory that is not writable.
        values = np.load(path, mmap_mode="c" if tokens else None, allow_pickle=False)
        return TokenStates(values=values, owners=owners)

    def upper_layers(self) -> tuple["LanguageModelLayers", "nn.Module", int]:
        """Return copies of the layers to be trained and of the norm of their output, and the hidden size."""
        from legalrr.segment.adapted_layers import LanguageModelLayers

        model, _ = _load_model(self)
        layers = [deepcopy(layer) for layer in list(model.layers)[self.lower :]]
        return (
            LanguageModelLayers(layers=layers, rotary=model.rotary_emb),
            deepcopy(model.norm),
            int(model.config.hidden_size),
        )


@lru_cache(maxsize=1)
def _load_model(reader: TokenReader) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    chosen = reader.language_model
    model, tokenizer = open_layers(
        chosen.model,
        chosen.revision,
        layer=reader.lower + reader.upper,
        device=chosen.device,
        option=OPTION,
        layer_option="--lower, --upper",
    )
    if model.config.model_type not in ARCHITECTURES:
        raise UserError(
            f"the layers of {model.config.model_type!r} cannot be trained",
            where=OPTION,
            cure=f"use a model of the architecture {' or '.join(ARCHITECTURES)}, or --tagger neural",
        )
    if reader.window > (longest := model.config.max_position_embeddings):
        raise UserError(f"a window of {reader.window} tokens", where="--window", cure=f"{chosen.model} reads {longest}")
    return model, tokenizer
