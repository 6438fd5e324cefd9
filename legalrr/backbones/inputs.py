"""What a model is given of a conversation: its tokens, their positions, and the pixels of its images.

Qwen3-VL counts positions in three directions: the tokens of an image take one step in time and go from top to bottom
and from left to right, and the text after it goes on behind the furthest of them, so that a token's position is not its
place (M-RoPE: Qwen2-VL, arXiv 2409.12191, section 2.1). The library's own function tells them.
"""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from legalrr.backbones.vision import Picture, drawn


class Inputs:
    """The arguments of a model's forward for any stretch of one conversation.

    Attributes:
        after: position of the token that would come next.

    Args:
        model: of transformers.
        ids: tokens of the conversation, negative in the places of images.
        pictures: its images.
    """

    def __init__(self, model: PreTrainedModel, ids: Sequence[int], pictures: Sequence[Picture] = ()) -> None:
        self._model = model
        self._ids = ids
        self._pictures = pictures
        self._positions: Tensor | None = None
        self.after = len(ids)
        if pictures:
            places = torch.arange(len(ids))[None]
            self._positions = _pictured(model, torch.tensor([ids]), places, pictures)
            self.after = int(self._positions[1:, 0, -1].max()) + 1

    def __call__(self, begin: int, end: int) -> dict[str, Tensor]:
        """Arguments for the tokens from `begin` to `end`, half-open; no image may be cut."""
        if self._positions is None:
            ids = torch.tensor([self._ids[begin:end]], device=self._model.device)
            return {"input_ids": ids, **positions(self._model, begin, end)}
        inside = [picture for picture in self._pictures if begin <= picture.start and picture.end <= end]
        given = {
            "input_ids": _own_tokens(self._model, torch.tensor([self._ids[begin:end]])),
            "position_ids": self._positions[:, :, begin:end],
            **drawn(inside),
        }
        return {name: tensor.to(self._model.device) for name, tensor in given.items()}


def padded(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], pictures: Sequence[Sequence[Picture]], *, pixels: bool
) -> dict[str, Tensor]:
    """The arguments of `generate` for several conversations, padded on the left.

    Args:
        model: of transformers; its generation configuration tells the padding.
        prompts: tokens of each conversation, negative in the places of images.
        pictures: the images of each.
        pixels: whether the images are to be read; False: a cache holds them.
    """
    width = max(map(len, prompts))
    gaps = [width - len(ids) for ids in prompts]
    fill = model.generation_config.pad_token_id
    ids = torch.tensor([[fill] * gap + [*prompt] for gap, prompt in zip(gaps, prompts, strict=True)])
    mask = torch.tensor([[0] * gap + [1] * (width - gap) for gap in gaps])
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    given = {"input_ids": ids, "attention_mask": mask}
    if every := [picture for row in pictures for picture in row]:
        given |= {
            "input_ids": _own_tokens(model, ids),
            "position_ids": _pictured(model, ids, places, every, mask),
            **(drawn(every) if pixels else {}),
        }
    elif _takes_positions(model):
        # Qwen3-VL would otherwise go by what the last call left in it.
        given["position_ids"] = places
    return {name: tensor.to(model.device) for name, tensor in given.items()}


def positions(model: PreTrainedModel, begin: int, end: int) -> dict[str, Tensor]:
    """The argument that tells a model the positions of text from `begin` to `end`; empty for a model that has none.

    Qwen3-VL would otherwise go by what the last call left in it.
    """
    return {"position_ids": torch.arange(begin, end, device=model.device)[None]} if _takes_positions(model) else {}


def whole(stop: int, start: int, pictures: Sequence[Picture]) -> int:
    """Where to stop instead of `stop`, reading from `start` on, so that no image is cut: before it or, where it is the
    first thing read, after it."""
    for picture in pictures:
        if picture.start < stop < picture.end:
            return picture.start if picture.start > start else picture.end
    return stop


def _takes_positions(model: PreTrainedModel) -> bool:
    return "position_ids" in signature(model.forward).parameters


def _own_tokens(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """Tokens with the model's own one in the places of images."""
    return ids.masked_fill(ids < 0, model.config.image_token_id)


def _pictured(
    model: Any, ids: Tensor, places: Tensor, pictures: Sequence[Picture], mask: Tensor | None = None
) -> Tensor:
    """Places, and positions in the three directions, of shape (4, conversations, tokens)."""
    grids = torch.tensor([picture.grid for picture in pictures])
    found, _ = model.model.get_rope_index(
        ids, mm_token_type_ids=(ids < 0).int(), image_grid_thw=grids, attention_mask=mask
    )
    return torch.cat([places[None], found])
