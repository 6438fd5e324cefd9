"""Prepare page images for a vision-language model, and pad batches of inputs.

Qwen3-VL has positions in three dimensions: the tokens of an image share one step in time and advance from top to bottom
and from left to right, and the text after it continues from the greatest of them, so that a position is not an index
(M-RoPE: Qwen2-VL, arXiv 2409.12191, section 2.1). The library's own function computes them.

In a prompt of Qwen3-VL all tokens of an image are the same token, so two images of one size cannot be distinguished by
their tokens. Here each image token is a negative number derived from its page: a shared prefix
(`legalrr.backbones.local.prefix_cache`) then ends before an image that differs, and never inside one. The model itself
gets its own image token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from legalrr.corpora.pdf_folder import pixel_size, render_pages
from legalrr.errors import UserError
from legalrr.records import Page

if TYPE_CHECKING:
    from transformers import PretrainedConfig

VISION_MODELS = frozenset({"qwen3_vl", "qwen3_vl_moe"})
"""Supported model types."""
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""Configuration files of the image processor; one is enough."""
PROCESSORS = ("Qwen2VLImageProcessor", "Qwen2VLImageProcessorFast", "Qwen2VLImageProcessorPil")
"""Accepted names of Qwen-VL's image processor; the Pillow version is used for all."""
IMAGE_DELIMITERS = 2
"""Tokens around an image: its start and end."""


class Inputs:
    """Arguments of a model's forward for any span of one conversation.

    Attributes:
        after: position of the token after the conversation.

    Args:
        model: a transformers model.
        ids: token ids of the conversation, negative in the positions of images.
        pictures: images of the conversation.
    """

    def __init__(self, model: PreTrainedModel, ids: Sequence[int], pictures: Sequence[Picture] = ()) -> None:
        self._model = model
        self._ids = ids
        self._pictures = pictures
        self._positions: Tensor | None = None
        self.after = len(ids)
        if pictures:
            places = torch.arange(len(ids))[None]
            self._positions = _image_positions(model, torch.tensor([ids]), places, pictures)
            self.after = int(self._positions[1:, 0, -1].max()) + 1

    def __call__(self, begin: int, end: int) -> dict[str, Tensor]:
        """Return the arguments for the tokens from `begin` to `end`, half-open, without cutting an image."""
        if self._positions is None:
            ids = torch.tensor([self._ids[begin:end]], device=self._model.device)
            return {"input_ids": ids, **position_arguments(self._model, begin, end)}
        inside = [picture for picture in self._pictures if begin <= picture.start and picture.end <= end]
        given = {
            "input_ids": _own_tokens(self._model, torch.tensor([self._ids[begin:end]])),
            "position_ids": self._positions[:, :, begin:end],
            **pixel_arguments(inside),
        }
        return {name: tensor.to(self._model.device) for name, tensor in given.items()}


def left_pad(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], pictures: Sequence[Sequence[Picture]], *, pixels: bool
) -> dict[str, Tensor]:
    """Build the arguments of `generate` for several conversations, left-padded.

    Args:
        model: a transformers model whose generation configuration has a padding token.
        prompts: token ids of each conversation, negative in the positions of images.
        pictures: images of each conversation.
        pixels: whether to pass the images; False: they are in a cache.
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
            "position_ids": _image_positions(model, ids, places, every, mask),
            **(pixel_arguments(every) if pixels else {}),
        }
    elif _takes_positions(model):
        # Otherwise Qwen3-VL would use positions kept from the previous call.
        given["position_ids"] = places
    return {name: tensor.to(model.device) for name, tensor in given.items()}


def position_arguments(model: PreTrainedModel, begin: int, end: int) -> dict[str, Tensor]:
    """Build the position argument of a model for text from `begin` to `end`; empty if the model takes none.

    Otherwise Qwen3-VL would use positions kept from the previous call.
    """
    return {"position_ids": torch.arange(begin, end, device=model.device)[None]} if _takes_positions(model) else {}


def avoid_cutting_image(stop: int, start: int, pictures: Sequence[Picture]) -> int:
    """Move the end `stop` of a chunk from `start` so that it cuts no image: before the image, or after it if the chunk
    starts with it."""
    for picture in pictures:
        if picture.start < stop < picture.end:
            return picture.start if picture.start > start else picture.end
    return stop


def _takes_positions(model: PreTrainedModel) -> bool:
    return "position_ids" in signature(model.forward).parameters


def _own_tokens(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """Replace the negative ids of images by the model's own image token."""
    return ids.masked_fill(ids < 0, model.config.image_token_id)


def _image_positions(
    model: Any, ids: Tensor, places: Tensor, pictures: Sequence[Picture], mask: Tensor | None = None
) -> Tensor:
    """Compute indices, and positions in three dimensions, of shape (4, conversations, tokens)."""
    grids = torch.tensor([picture.grid for picture in pictures])
    computed, _ = model.model.get_rope_index(
        ids, mm_token_type_ids=(ids < 0).int(), image_grid_thw=grids, attention_mask=mask
    )
    return torch.cat([places[None], computed])


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Image of a page in a conversation."""

    page: Page
    """The page, rendered when the model reads it."""
    start: int
    """Index of its first token."""
    tokens: int
    """Number of tokens."""
    grid: tuple[int, int, int]
    """Patches in time (always 1), height and width."""
    processor: Any = field(repr=False)
    """Image processor of the checkpoint."""

    @property
    def end(self) -> int:
        """Index after its last token."""
        return self.start + self.tokens


class Vision:
    """Image handling of a checkpoint; the image processor is opened at the first page.

    Args:
        folder: files of the checkpoint.
        image_token: the model's image token.
        option: config path of the backbone, for messages.
    """

    def __init__(self, folder: Path, *, image_token: int, option: str) -> None:
        self._folder = folder
        self._image_token = image_token
        self._option = option

    @cached_property
    def processor(self) -> Any:
        """The checkpoint's image processor, with its limits on the number of pixels.

        Always the Pillow version, whether or not torchvision is installed: the two resize differently.

        Raises:
            UserError: it cannot be opened, or is not Qwen's.
        """
        from transformers import Qwen2VLImageProcessorPil

        try:
            values, _ = Qwen2VLImageProcessorPil.get_image_processor_dict(self._folder, local_files_only=True)
            kind = str(values.get("image_processor_type"))
            if kind not in PROCESSORS:
                raise self._unusable(f"it is a {kind}, not one of {', '.join(PROCESSORS)}")
            # Not the auto class, which requires torchvision even if it selects this one.
            return Qwen2VLImageProcessorPil.from_dict(values)
        except (OSError, ValueError, ImportError) as error:
            raise self._unusable(str(error)) from error

    def _unusable(self, reason: str) -> UserError:
        return UserError(
            f"the image processor of {self._folder} cannot be used: {reason}",
            where=f"{self._option}.model",
            cure="copy the preprocessor_config.json of a Qwen3-VL to its weights, or set corpus.input=text",
        )

    def page_tokens(self, page: Page) -> int:
        """See `legalrr.protocols.PageTokens`."""
        return self._picture(page, 0).tokens + IMAGE_DELIMITERS

    def expand_image_tokens(self, ids: Sequence[int], pages: Sequence[Page]) -> tuple[list[int], tuple[Picture, ...]]:
        """Expand the image tokens of a conversation.

        Args:
            ids: its token ids, with one image token per page.
            pages: the pages in order.

        Returns:
            Token ids with a negative number for each token of an image, and the images.

        Raises:
            UserError: the numbers of image tokens and pages differ, or a page cannot be rendered.
        """
        if (count := ids.count(self._image_token)) != len(pages):
            raise UserError(
                f"{count} image tokens for {len(pages)} pages",
                where=f"{self._option}.model",
                cure="its chat template ignores images (copy the processor's template to chat_template.jinja), or the "
                "text of the judgment contains the model's image token",
            )
        wide: list[int] = []
        pictures: list[Picture] = []
        for token in ids:
            if token == self._image_token:
                picture = self._picture(pages[len(pictures)], len(wide))
                pictures.append(picture)
                wide += [_page_token(picture.page)] * picture.tokens
            else:
                wide.append(token)
        return wide, tuple(pictures)

    def _picture(self, page: Page, start: int) -> Picture:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

        processor = self.processor
        width, height = pixel_size(page)
        least, most = (processor.size[edge] for edge in ("shortest_edge", "longest_edge"))
        side, merged = processor.patch_size, processor.merge_size
        try:
            sides = smart_resize(height, width, factor=side * merged, min_pixels=least, max_pixels=most)
        except ValueError as error:
            raise UserError(
                f"an image of {width} x {height} pixels: {error}",
                where=f"{page.path}, page {page.number}",
                cure="leave the judgment out, or use its text (corpus.input=text)",
            ) from error
        rows, columns = (length // side for length in sides)
        return Picture(
            page=page,
            start=start,
            tokens=rows * columns // merged**2,
            grid=(1, rows, columns),
            processor=processor,
        )


def open_vision(config: PretrainedConfig, folder: Path, *, option: str) -> Vision | None:
    """Return the image handling of a checkpoint; None for a text-only one.

    Args:
        config: configuration of the model.
        folder: its files, with one of `PROCESSOR_FILES` for a vision-language model.
        option: config path of the backbone, for messages.
    """
    if config.model_type not in VISION_MODELS or not any((folder / name).is_file() for name in PROCESSOR_FILES):
        return None
    return Vision(folder, image_token=config.image_token_id, option=option)


def pixel_arguments(pictures: Sequence[Picture]) -> dict[str, Tensor]:
    """Compute pixels and grids of images, by the names of the model's arguments; {} without images.

    Raises:
        UserError: a file has changed since it was listed, or cannot be rendered.
    """
    if not pictures:
        return {}
    made = pictures[0].processor(images=list(render_pages(p.page for p in pictures)), return_tensors="pt")
    return {name: made[name] for name in ("pixel_values", "image_grid_thw")}


def _page_token(page: Page) -> int:
    """Hash the visible content of a page to a negative number of 64 bits."""
    digest = hashlib.sha256(repr(sorted(page.seen().items())).encode()).digest()
    return -1 - (int.from_bytes(digest[:8], "big") >> 1)
