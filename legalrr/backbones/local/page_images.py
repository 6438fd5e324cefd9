"""Prepare page images for a vision-language model, and pad batches of inputs.

What a model is given of a conversation: its tokens, their positions, and the pixels of its images.

Qwen3-VL counts positions in three directions: the tokens of an image take one step in time and go from top to bottom
and from left to right, and the text after it goes on behind the furthest of them, so that a token's position is not its
place (M-RoPE: Qwen2-VL, arXiv 2409.12191, section 2.1). The library's own function tells them.

How a checkpoint sees pages: in how many tokens each, at which places of a conversation, and as what pixels.

Where an image stands, a prompt of Qwen3-VL has one and the same token over and over, so two images of one size cannot
be told apart by their tokens. Here each such token is named by a negative number that follows from its page: whatever
goes by equal beginnings (`legalrr.backbones.local.prefix_cache`, `legalrr.backbones.local.prefix_cache`) then ends
before an image that is another one, and never inside of one. The model is given its own token again
(`legalrr.backbones.local.page_images`).
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
    from torch import Tensor
    from transformers import PretrainedConfig


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


MODELS = frozenset({"qwen3_vl", "qwen3_vl_moe"})
"""Types of models whose images are read here."""
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""Either one says how images are prepared."""
PROCESSORS = ("Qwen2VLImageProcessor", "Qwen2VLImageProcessorFast", "Qwen2VLImageProcessorPil")
"""Names under which files ask for the image processor of Qwen-VL; the one that works with Pillow stands for all."""
MARKS = 2
"""Tokens before and after the image itself: where it begins and where it ends."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The image of a page in a conversation."""

    page: Page
    """What it shows; drawn when the model reads it."""
    start: int
    """Place of its first token."""
    tokens: int
    """How many tokens it takes."""
    grid: tuple[int, int, int]
    """Its patches in time (always 1), from top to bottom, and from left to right."""
    processor: Any = field(repr=False)
    """The image processor of the checkpoint."""

    @property
    def end(self) -> int:
        """One past the place of its last token."""
        return self.start + self.tokens


class Vision:
    """How one checkpoint sees pages; its image processor is opened when the first page is counted.

    Args:
        folder: the checkpoint's files.
        image_token: the token that stands for a part of an image.
        option: config path of the backbone, for messages.
    """

    def __init__(self, folder: Path, *, image_token: int, option: str) -> None:
        self._folder = folder
        self._image_token = image_token
        self._option = option

    @cached_property
    def processor(self) -> Any:
        """The checkpoint's image processor, with the least and most pixels that it states.

        Always the one that works with Pillow, whether or not torchvision is installed: the two resize differently.

        Raises:
            UserError: it cannot be opened, or is another one than Qwen's.
        """
        from transformers import Qwen2VLImageProcessorPil

        try:
            values, _ = Qwen2VLImageProcessorPil.get_image_processor_dict(self._folder, local_files_only=True)
            kind = str(values.get("image_processor_type"))
            if kind not in PROCESSORS:
                raise self._unusable(f"it is a {kind}, not one of {', '.join(PROCESSORS)}")
            # Named outright, as the library's automatic choice asks for torchvision even where it takes this one.
            return Qwen2VLImageProcessorPil.from_dict(values)
        except (OSError, ValueError, ImportError) as error:
            raise self._unusable(str(error)) from error

    def _unusable(self, why: str) -> UserError:
        return UserError(
            f"the image processor of {self._folder} cannot be used: {why}",
            where=f"{self._option}.model",
            cure="put the preprocessor_config.json of a Qwen3-VL beside its weights, or set corpus.input=text",
        )

    def page_tokens(self, page: Page) -> int:
        """See `legalrr.protocols.PageTokens`."""
        return self._picture(page, 0).tokens + MARKS

    def placed(self, ids: Sequence[int], pages: Sequence[Page]) -> tuple[list[int], tuple[Picture, ...]]:
        """A conversation with room for its images.

        Args:
            ids: its tokens, with one image token for each page.
            pages: the pages in their order.

        Returns:
            Tokens with negative numbers in the places of images, and the images.

        Raises:
            UserError: more or fewer image tokens than pages, or a page that cannot be drawn.
        """
        if (signs := ids.count(self._image_token)) != len(pages):
            raise UserError(
                f"{signs} signs of images for {len(pages)} pages",
                where=f"{self._option}.model",
                cure="its chat template passes over images (put its processor's beside it, as chat_template.jinja), or "
                "the text of the judgment holds the model's own signs",
            )
        wide: list[int] = []
        pictures: list[Picture] = []
        for token in ids:
            if token == self._image_token:
                picture = self._picture(pages[len(pictures)], len(wide))
                pictures.append(picture)
                wide += [_name(picture.page)] * picture.tokens
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
                cure="leave the judgment out, or show its text (corpus.input=text)",
            ) from error
        rows, columns = (length // side for length in sides)
        return Picture(
            page=page,
            start=start,
            tokens=rows * columns // merged**2,
            grid=(1, rows, columns),
            processor=processor,
        )


def vision_of(config: PretrainedConfig, folder: Path, *, option: str) -> Vision | None:
    """How a checkpoint sees pages; None where it reads text alone.

    Args:
        config: of the model.
        folder: its files, with one of `PROCESSOR_FILES` if it sees.
        option: config path of the backbone, for messages.
    """
    if config.model_type not in MODELS or not any((folder / name).is_file() for name in PROCESSOR_FILES):
        return None
    return Vision(folder, image_token=config.image_token_id, option=option)


def drawn(pictures: Sequence[Picture]) -> dict[str, Tensor]:
    """Pixels and grids of images as the model takes them, by the names of its arguments; {} without any.

    Raises:
        UserError: a file has changed since it was read, or cannot be drawn.
    """
    if not pictures:
        return {}
    made = pictures[0].processor(images=list(render_pages(p.page for p in pictures)), return_tensors="pt")
    return {name: made[name] for name in ("pixel_values", "image_grid_thw")}


def _name(page: Page) -> int:
    """A negative number of 64 bits that follows from what is seen of a page."""
    digest = hashlib.sha256(repr(sorted(page.seen().items())).encode()).digest()
    return -1 - (int.from_bytes(digest[:8], "big") >> 1)
