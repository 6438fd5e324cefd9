"""Open a backbone to count tokens, without its weights, its key or its device; and its memory.

A model whose files are not here is not downloaded: prompts are counted as a fixed number of characters per token, and
the plan says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from legalrr.backbones.catalogue import hub_snapshots, local_files
from legalrr.backbones.counting import load_to_count
from legalrr.backbones.facts import BackboneFacts, card
from legalrr.backbones.openai.tokens import CharacterTokens
from legalrr.errors import UserError
from legalrr.hub import HUB_ID
from legalrr.paths import resolve
from legalrr.protocols import Abilities, Backbone, Call, CallQueue, PromptTokens, Reply

if TYPE_CHECKING:
    from pathlib import Path

CHARACTERS = 4
"""Characters per token of a model whose tokenizer is not here."""
CONTEXT = 131_072
"""Its context in tokens, if it is not stated."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory of a model on one machine, in bytes; None: unknown."""

    weights: int | None
    """Weights."""
    states: int | None
    """States of the longest conversation, or of a full batch if that is more."""
    cache: int
    """Limit of the prefix cache."""
    available: int | None
    """Memory of the device."""
    device: str
    """The device."""

    @property
    def fits(self) -> bool | None:
        """Whether all of it fits, without activations; None if that is unknown."""
        if self.weights is None or self.states is None or self.available is None:
            return None
        return self.weights + self.states + self.cache <= self.available


class CharacterEngine(CharacterTokens):
    """Engine that only counts tokens, for a model that is not here."""

    can = Abilities(logprobs=True, structured=True, images=False, seed=True)
    holds = None

    def __init__(self, context: int) -> None:
        super().__init__(CHARACTERS)
        self.context = context

    def prompt_ids(self, call: Call) -> list[int]:  # type: ignore[override]  # of a call, not of messages
        """See `legalrr.protocols.PromptTokens`."""
        return super().prompt_ids(call.messages)

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        """Raise UserError: there is no model."""
        raise UserError("the model is not here", where="backbone", cure="legalrr models says how to get it")


@dataclass(frozen=True, kw_only=True)
class OpenedBackbone:
    """A backbone that counts tokens."""

    backbone: Backbone
    """As it is configured."""
    engine: PromptTokens
    """Counts tokens."""
    exact: bool
    """Whether by the tokenizer of the model."""
    runs_here: bool
    """Whether the model can be run on this machine without cost: for a calibration."""
    note: str | None
    """What the run would lack here; None: nothing."""


def missing_model(config: DictConfig) -> str | None:
    """Return the hub id of the model of a cell if its files are not here; None if they are, or it has none.

    Args:
        config: configuration of the cell.
    """
    node = config.backbone
    model = None if OmegaConf.is_missing(node, "model") else node.get("model")
    if not isinstance(model, str) or "base_url" in node or model.endswith(".gguf") or not HUB_ID.fullmatch(model):
        return None
    if resolve(model).exists():
        return None
    facts = BackboneFacts(
        name=str(node.get("name")),
        node=node,
        licence=None,
        context=None,
        parameters=None,
        cache=None,
        state=None,
        engines=(),
        source=None,
        read=None,
        uncertain=(),
    )
    return None if local_files(facts, _snapshots()) else model


@lru_cache(maxsize=1)
def _snapshots() -> dict[str, dict[str, Path]]:
    return {model: dict(commits) for model, commits in hub_snapshots().items()}


def stated_facts(config: DictConfig) -> BackboneFacts | None:
    """Return the facts that the files of a cell's backbone state; None if they cannot be read."""
    try:
        choice = str(config.hydra.runtime.choices.backbone)
        facts = card(choice)
        same = facts.model == config.backbone.get("model")
    except (UserError, OmegaConfBaseException):
        return None
    return facts if same else None


def open_backbone(backbone: Backbone) -> OpenedBackbone:
    """Open a backbone whose files are here, or that is on a server.

    Raises:
        UserError: it cannot be opened, or does not count prompts.
    """
    names = {one.name for one in fields(backbone)}  # type: ignore[arg-type]
    served = "base_url" in names
    # Tokens are counted without the key, the device and its memory.
    without: dict[str, Any] = {name: None for name in ("api_key_env",) if name in names}
    engine, note = load_to_count(replace(backbone, **without) if without else backbone)  # type: ignore[type-var]
    if not isinstance(engine, PromptTokens):
        raise UserError(
            f"{backbone.name} does not count the tokens of prompts",
            where="backbone",
            cure="its engine needs a method prompt_ids (legalrr.protocols.PromptTokens)",
        )
    exact = not str(getattr(backbone, "tokenizer", "")).startswith("characters:")
    return OpenedBackbone(
        backbone=backbone, engine=engine, exact=exact, runs_here=note is None and not served, note=note
    )


def model_memory(backbone: Backbone, longest: int) -> Memory | None:
    """Compute the memory of a model in this process from its configuration; None for other backbones.

    Args:
        backbone: the backbone; its files are here.
        longest: tokens of the longest prompt with its answer.

    Raises:
        UserError: its files cannot be read.
    """
    names = {one.name for one in fields(backbone)}  # type: ignore[arg-type]
    if not {"model", "dtype", "quantization"} <= names:
        return None
    from legalrr.backbones.local.checkpoint import open_checkpoint
    from legalrr.backbones.local.memory import (
        BYTES_PER_WEIGHT,
        cache_bytes,
        divide_state_memory,
        state_bytes,
        state_memory,
        weight_bytes,
    )

    node: Any = backbone
    checkpoint = open_checkpoint(node.model, node.revision, dtype=node.dtype, option="backbone")
    known = node.quantization if node.quantization in BYTES_PER_WEIGHT else "none"
    device = getattr(node, "device", "cuda")
    weights = weight_bytes(checkpoint.auto, checkpoint.config, checkpoint.folder, node.dtype, known)
    cache = int(1e9 * getattr(node, "prefix_cache_gb", 0.0))
    states = cache_bytes(checkpoint.config, max(longest, getattr(node, "batch_tokens", 0)), node.dtype)
    states += state_bytes(checkpoint.config, node.dtype)
    if getattr(node, "memory_gb", None) is not None:
        native = checkpoint.config.get_text_config(decoder=True).max_position_embeddings
        left = state_memory(
            checkpoint.config,
            node.context or native,
            memory=int(1e9 * node.memory_gb),
            weights=weights,
            dtype=node.dtype,
            chunk=node.prefill_chunk,
            option="backbone",
        )
        cache, batch = divide_state_memory(left, cache)
        states = min(states, batch)
    return Memory(
        weights=weights,
        states=states,
        cache=cache,
        available=_available(device),
        device=device,
    )


def stated_memory(facts: BackboneFacts | None, node: DictConfig, longest: int) -> Memory:
    """Compute the memory of a model that is not here from stated facts."""
    dtype, device = node.get("dtype", "bfloat16"), node.get("device", "cuda")
    return Memory(
        weights=None if facts is None else facts.weight_bytes(dtype),
        states=None if facts is None else facts.cache_bytes(max(longest, node.get("batch_tokens", 0)), dtype),
        cache=int(1e9 * node.get("prefix_cache_gb", 0.0)),
        available=_available(device),
        device=device,
    )


def _available(device: str) -> int | None:
    """Return the memory of a device; None if it is not here."""
    import torch

    from legalrr.backbones.local.memory import available_memory

    kind = device.partition(":")[0]
    here = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}.get(kind)
    return available_memory(device) if here is None or here() else None
