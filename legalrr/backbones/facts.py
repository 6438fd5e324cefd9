"""Facts about the backbones of conf/backbone: licence, context, memory, engines.

Each file of conf/backbone describes its model in a `meta` node:

    meta:
      licence: Apache-2.0
      context: 262144
      parameters: 8,767,123,696
      cache: 36 layers of 8 key-value heads of 128
      state: 18 layers of 32 heads of 128, 6,144 channels
      engines: local, vllm, server
      source: https://huggingface.co/owner/model
      read: 2026-11
      uncertain: parameters, cache

`state` is that of Gated KalmaNet; with the sizes of keys and values, `24 layers of 32 heads of 128 x 128, 8,192
channels`, that of Gated DeltaNet. The cache of latent attention is `7 layers of 576 latent numbers`. All entries are
optional; a missing one is unknown. The first five are facts about the model, which replace its config.json until its
files are local; `source` says where they were read, `read` when, and `uncertain` names those that nobody has checked.
`engines` are the choices of conf/engine that run the model; missing: all. `former` marks a former choice, and gives the
words that replace it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from legalrr.backbones.engine_choice import composed_facts, engines_of
from legalrr.backbones.local.memory import BYTES_PER_WEIGHT, delta_state_bytes, gka_state_bytes
from legalrr.configuration import compose, read_metadata
from legalrr.errors import UserError
from legalrr.hub import HUB_ID
from legalrr.paths import choices, resolve

STATED = ("licence", "context", "parameters", "cache", "state")
"""Facts about a model."""
FACTS = (*STATED, "engines", "source", "read", "uncertain", "former")
"""Keys of the metadata."""
NUMBER = r"(\d[\d,]*)"
FORMS = {
    "context": (re.compile(rf"{NUMBER}(?: tokens)?"), "262,144 tokens"),
    "parameters": (re.compile(NUMBER), "8,767,123,696"),
    "cache": (
        re.compile(rf"{NUMBER} layers of (?:{NUMBER} key-value heads of {NUMBER}|{NUMBER} latent numbers)"),
        "36 layers of 8 key-value heads of 128",
    ),
    "state": (
        re.compile(rf"{NUMBER} layers of {NUMBER} heads of {NUMBER}(?: x {NUMBER})?, {NUMBER} channels"),
        "18 layers of 32 heads of 128, 6,144 channels",
    ),
}
"""Format of each numeric entry, and an example."""


@dataclass(frozen=True, kw_only=True)
class BackboneFacts:
    """Metadata of one backbone; None if not stated."""

    name: str
    """Its config name: `backbone=<name>`."""
    node: DictConfig
    """Its configuration."""
    licence: str | None
    """Licence of the model."""
    context: int | None
    """Native or configured context length, in tokens."""
    parameters: int | None
    """Number of weights, including all experts and the image encoder."""
    cache: tuple[int, ...] | None
    """Attention layers, key-value heads per layer, head size; for latent attention, layers and numbers per token."""
    state: tuple[int, ...] | None
    """Recurrent layers, heads per layer, head size, convolution channels; two head sizes, of keys and values, for Gated
    DeltaNet, one for Gated KalmaNet. None: no such layers."""
    engines: tuple[str, ...]
    """Engines that run it; empty: its configuration names its class itself."""
    source: str | None
    """Where the facts were read."""
    read: str | None
    """When."""
    uncertain: tuple[str, ...]
    """Facts, by key, that nobody has checked."""

    @property
    def model(self) -> str | None:
        """Folder, file, hub id or name at a server; None if the user must set it, or there is none."""
        return None if OmegaConf.is_missing(self.node, "model") else self.node.get("model")

    @property
    def served(self) -> bool:
        """Whether the model runs on a server."""
        return "base_url" in self.node

    @property
    def hub(self) -> bool:
        """Whether the model is on the Hugging Face hub."""
        model = self.model
        if model is None or self.served:
            return False
        return HUB_ID.fullmatch(model) is not None and not model.endswith(".gguf") and not resolve(model).exists()

    def weight_bytes(self, dtype: str) -> int | None:
        """Compute the bytes of the weights in `dtype`; None if unknown."""
        return None if self.parameters is None else int(self.parameters * BYTES_PER_WEIGHT[dtype])

    def cache_bytes(self, tokens: int, dtype: str) -> int | None:
        """Compute the bytes of keys, values and recurrent states after `tokens` tokens in `dtype`; None if unknown."""
        if self.cache is None:
            return None
        pair = 1 if len(self.cache) == 2 else 2
        grown = int(pair * tokens * prod(self.cache) * BYTES_PER_WEIGHT[dtype])
        if self.state is None:
            return grown
        if len(self.state) == 5:
            return grown + delta_state_bytes(*self.state, dtype=dtype)
        return grown + gka_state_bytes(*self.state, dtype=dtype)


def backbone_names() -> list[str]:
    """Return the names of all configs in conf/backbone but former ones, sorted."""
    return [name for name in choices("backbone") if "former" not in read_facts(name)]


def read_facts(name: str, folders: Sequence[Path] | None = None) -> dict[str, str]:
    """Return the metadata of a backbone config by key of `FACTS`; raises UserError as `card` does.

    Args:
        name: config name.
        folders: configuration folders; None: `legalrr.paths.conf_folders`.
    """
    return read_metadata(_file(name, folders), FACTS, wrapped=False)


def card(name: str) -> BackboneFacts:
    """Read the metadata of a backbone; raise UserError for an unknown name, or an entry that cannot be parsed."""
    file, stated = _file(name), read_facts(name)
    numbers = {key: _numbers(key, stated[key], file) for key in FORMS if key in stated}
    node = compose("models", [f"backbone={name}"]).backbone
    return BackboneFacts(
        name=name,
        node=node,
        licence=stated.get("licence"),
        context=numbers.get("context", [node.get("context")])[0],
        parameters=numbers.get("parameters", [None])[0],
        cache=tuple(numbers["cache"]) if "cache" in numbers else None,
        state=tuple(numbers["state"]) if "state" in numbers else None,
        engines=engines_of(composed_facts(node)),
        source=stated.get("source"),
        read=stated.get("read"),
        uncertain=_uncertain(stated.get("uncertain", ""), file),
    )


def _file(name: str, folders: Sequence[Path] | None = None) -> Path:
    files = choices("backbone", folders)
    if name not in files:
        raise UserError(f"no backbone {name!r}", where="conf/backbone", cure=f"one of {', '.join(files)}")
    return files[name]


def _uncertain(text: str, file: Path) -> tuple[str, ...]:
    named = tuple(one.strip() for one in text.split(",") if one.strip())
    for one in named:
        if one not in STATED:
            cure = f"name some of {', '.join(STATED)}"
            raise UserError(f"meta.uncertain names no fact {one!r}", where=str(file), cure=cure)
    return named


def _numbers(key: str, text: str, file: Path) -> list[int]:
    form, example = FORMS[key]
    match = form.fullmatch(text)
    if match is None:
        raise UserError(f"cannot read meta.{key} {text!r}", where=str(file), cure=f"write {key}: {example}")
    return [int(number.replace(",", "")) for number in match.groups() if number is not None]
