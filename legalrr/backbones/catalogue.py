"""The backbones of conf/backbone, as the `meta` node of each file and its configuration describe them.

    meta:
      licence: Apache-2.0
      context: 262,144 tokens
      parameters: 8,767,123,696
      cache: 36 layers of 8 key-value heads of 128
      state: 18 layers of 32 heads of 128, 6,144 channels

Each may be left out: what is not stated is unknown. They stand in for a model's config.json until its files are here.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from legalrr.backbones.footprint import BYTES, kept_bytes
from legalrr.backbones.source import HUB_ID, locate
from legalrr.configuration import compose
from legalrr.errors import UserError
from legalrr.metadata import read_metadata
from legalrr.places import choices, resolve

FACTS = ("licence", "context", "parameters", "cache", "state")
NUMBER = r"(\d[\d,]*)"
FORMS = {
    "context": (re.compile(rf"{NUMBER}(?: tokens)?"), "262,144 tokens"),
    "parameters": (re.compile(NUMBER), "8,767,123,696"),
    "cache": (
        re.compile(rf"{NUMBER} layers of {NUMBER} key-value heads of {NUMBER}"),
        "36 layers of 8 key-value heads of 128",
    ),
    "state": (
        re.compile(rf"{NUMBER} layers of {NUMBER} heads of {NUMBER}, {NUMBER} channels"),
        "18 layers of 32 heads of 128, 6,144 channels",
    ),
}
"""How a fact in numbers is written, and an example of it."""
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is stated of one backbone; None where nothing is."""

    name: str
    """Name of its choice: `backbone=<name>`."""
    node: DictConfig
    """Its configuration."""
    licence: str | None
    """Under what terms."""
    context: int | None
    """Tokens that the model was made for, or as many as are configured."""
    parameters: int | None
    """How many weights it has, all experts and what reads images among them."""
    cache: tuple[int, ...] | None
    """Layers that attend, key-value heads of each, and numbers of a head's key."""
    state: tuple[int, ...] | None
    """Gated KalmaNet layers, heads of each, numbers of a head, channels of convolutions; None: no such layers."""

    @property
    def model(self) -> str | None:
        """Folder, file, hub id or name at a server; None where the user has to give it, or there is none."""
        return None if OmegaConf.is_missing(self.node, "model") else self.node.get("model")

    @property
    def served(self) -> bool:
        """Whether it runs behind a server."""
        return "base_url" in self.node

    @property
    def hub(self) -> bool:
        """Whether its model is one of the Hugging Face hub."""
        model = self.model
        if model is None or self.served:
            return False
        return HUB_ID.fullmatch(model) is not None and not model.endswith(".gguf") and not resolve(model).exists()

    def weight_bytes(self, dtype: str) -> int | None:
        """Bytes of the weights in `dtype`, from what is stated."""
        return None if self.parameters is None else int(self.parameters * BYTES[dtype])

    def cache_bytes(self, tokens: int, dtype: str) -> int | None:
        """Bytes of keys, values and states that do not grow after `tokens` tokens in `dtype`, from what is stated."""
        if self.cache is None:
            return None
        layers, heads, size = self.cache
        grown = int(2 * tokens * layers * heads * size * BYTES[dtype])
        return grown if self.state is None else grown + kept_bytes(*self.state, dtype=dtype)


def names() -> list[str]:
    """All choices of conf/backbone, sorted."""
    return list(choices("backbone"))


def facts(name: str, folders: Sequence[Path] | None = None) -> dict[str, str]:
    """The facts that the yaml of a backbone states, by key of `FACTS`; raises UserError as `card` does.

    Args:
        name: its choice.
        folders: of configuration; None: `legalrr.places.conf_folders`.
    """
    return read_metadata(_file(name, folders), FACTS, wrapped=False)


def card(name: str) -> Card:
    """The backbone called `name`; raises UserError for one that conf/backbone lacks, or a fact that cannot be read."""
    file, stated = _file(name), facts(name)
    numbers = {key: _numbers(key, stated[key], file) for key in FORMS if key in stated}
    node = compose(f"backbone/{name}").backbone
    return Card(
        name=name,
        node=node,
        licence=stated.get("licence"),
        context=numbers.get("context", [node.get("context")])[0],
        parameters=numbers.get("parameters", [None])[0],
        cache=tuple(numbers["cache"]) if "cache" in numbers else None,
        state=tuple(numbers["state"]) if "state" in numbers else None,
    )


def _file(name: str, folders: Sequence[Path] | None = None) -> Path:
    files = choices("backbone", folders)
    if name not in files:
        raise UserError(f"no backbone {name!r}", where="conf/backbone", cure=f"one of {', '.join(files)}")
    return files[name]


def _numbers(key: str, text: str, file: Path) -> list[int]:
    form, example = FORMS[key]
    match = form.fullmatch(text)
    if match is None:
        raise UserError(f"cannot read meta.{key} {text!r}", where=str(file), cure=f"write {key}: {example}")
    return [int(number.replace(",", "")) for number in match.groups()]


def hub_snapshots() -> Mapping[str, Mapping[str, Path]]:
    """Folders of the models in the local cache of the hub, by id and commit; they may lack files."""
    from huggingface_hub import CacheNotFound, constants, scan_cache_dir

    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return {}
    return {
        repo.repo_id: {one.commit_hash: one.snapshot_path for one in repo.revisions}
        for repo in repos
        if repo.repo_type == "model"
    }


def _whole(folder: Path) -> bool:
    """Whether a folder has the configuration and all weights."""
    if not (folder / "config.json").is_file():
        return False
    if (folder / INDEX).is_file():
        try:
            parts = json.loads((folder / INDEX).read_text("utf-8"))["weight_map"].values()
        except (ValueError, KeyError) as error:
            cure = "remove the folder, and download the model anew"
            raise UserError("this file is damaged", where=str(folder / INDEX), cure=cure) from error
        return all((folder / part).is_file() for part in parts)
    return any(folder.glob("*.safetensors"))


def present(one: Card, snapshots: Mapping[str, Mapping[str, Path]]) -> list[Path]:
    """The model folders or .gguf file of a backbone that are here.

    Args:
        one: the backbone; of a hub model, all commits count unless it names one.
        snapshots: see `hub_snapshots`; those that lack weights are left out.

    Raises:
        UserError: a damaged list of weights.
    """
    if one.model is None or one.served:
        return []
    revision = one.node.get("revision")
    if one.hub:
        commits = snapshots.get(one.model, {})
        return [folder for commit, folder in sorted(commits.items()) if revision in (None, commit) and _whole(folder)]
    try:
        path = locate(one.model, revision, option=f"backbone={one.name}")
    except UserError:
        return []
    return [path] if path is not None else []
