"""How a checkpoint sees pages: in how many tokens each, at which places of a conversation, and as what pixels.

Where an image stands, a prompt of Qwen3-VL has one and the same token over and over, so two images of one size cannot
be told apart by their tokens. Here each such token is named by a negative number that follows from its page: whatever
goes by equal beginnings (`legalrr.backbones.prefixes`, `legalrr.backbones.tree`) then ends before an image that is
another one, and never inside of one. The model is given its own token again (`legalrr.backbones.inputs`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.corpora.pdf_images import pixels, rendered
from legalrr.errors import UserError
from legalrr.records import Page

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig

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
        width, height = pixels(page)
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
    made = pictures[0].processor(images=list(rendered(p.page for p in pictures)), return_tensors="pt")
    return {name: made[name] for name in ("pixel_values", "image_grid_thw")}


def _name(page: Page) -> int:
    """A negative number of 64 bits that follows from what is seen of a page."""
    digest = hashlib.sha256(repr(sorted(page.seen().items())).encode()).digest()
    return -1 - (int.from_bytes(digest[:8], "big") >> 1)
