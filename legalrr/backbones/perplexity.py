"""Perplexity on windows of text: exp of the mean negative log-probability of every token but the first of a window."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

SLICE = 512
"""Tokens whose logits are held at once."""


def perplexity(model: PreTrainedModel, windows: Sequence[Sequence[int]]) -> float:
    """Perplexity of a causal language model.

    Args:
        model: it.
        windows: token ids, each read by itself from its first token on; at least one has two tokens.
    """
    total, tokens = 0.0, 0
    with torch.inference_mode():
        for window in windows:
            ids = torch.tensor([window], device=model.device)
            hidden = read(model, ids, torch.arange(ids.shape[1], device=ids.device)[None])[0, :-1]
            for states, targets in zip(hidden.split(SLICE), ids[0, 1:].split(SLICE), strict=True):
                logits = model.get_output_embeddings()(states).float()
                total += functional.cross_entropy(logits, targets, reduction="sum").item()
            tokens += len(window) - 1
    return exp(total / tokens)


def read(model: PreTrainedModel, ids: Tensor, positions: Tensor) -> Tensor:
    """What the head of a language model is given, [B, T, hidden], for tokens and positions [B, T], without a cache."""
    return model.base_model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
