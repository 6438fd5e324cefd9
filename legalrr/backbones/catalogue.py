"""List the backbones of conf/backbone, and run the command `legalrr models`.

The backbones of conf/backbone, as the `meta` node of each file and its configuration describe them.

    meta:
      licence: Apache-2.0
      context: 262,144 tokens
      parameters: 8,767,123,696
      cache: 36 layers of 8 key-value heads of 128
      state: 18 layers of 32 heads of 128, 6,144 channels

Each may be left out: what is not stated is unknown. They stand in for a model's config.json until its files are here.

The command `legalrr models`: which backbones are configured, what they take, and which of them are here.
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from legalrr.backbones.local.memory import BYTES, cache_bytes, kept_bytes, state_bytes, weight_bytes
from legalrr.backbones.local.weights import HUB_ID, locate
from legalrr.configuration import compose, read_metadata
from legalrr.errors import UserError
from legalrr.paths import choices, resolve
from legalrr.tables import Table, standard_output

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
class BackboneFacts:
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
        folders: of configuration; None: `legalrr.paths.conf_folders`.
    """
    return read_metadata(_file(name, folders), FACTS, wrapped=False)


def card(name: str) -> BackboneFacts:
    """The backbone called `name`; raises UserError for one that conf/backbone lacks, or a fact that cannot be read."""
    file, stated = _file(name), facts(name)
    numbers = {key: _numbers(key, stated[key], file) for key in FORMS if key in stated}
    node = compose(f"backbone/{name}").backbone
    return BackboneFacts(
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


def present(one: BackboneFacts, snapshots: Mapping[str, Mapping[str, Path]]) -> list[Path]:
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


PIPE_WIDTH = 160
DTYPES = ("float32", "bfloat16", "float16")
FILES = {
    "here": "here",
    "absent": "not here",
    "served": "at a server",
    "open": "yours: backbone.model=...",
    "none": "needs none",
}
"""What the table says of the files of a backbone."""
EXAMPLES = """\
examples:
  legalrr models
  legalrr models qwen3_vl_8b qwen3_vl_30b_a3b --length 262144
  legalrr models --dtype float32 --length 8192 --json
"""


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """One backbone at a length and dtype; None is what is not known, or does not apply."""

    name: str
    """Its choice: `backbone=<name>`."""
    model: str | None
    licence: str | None
    context: int | None
    """Tokens that the model was made for, or as many as are configured."""
    length: int
    """Tokens of prompt and answer."""
    dtype: str
    weights: int | None
    """Bytes of the weights, beside which working memory is needed."""
    cache: int | None
    """Bytes of keys and values of one conversation of that length, and of the states of Gated KalmaNet layers."""
    files: str
    """A key of `FILES`."""
    paths: tuple[str, ...]
    """Where the files are: for a hub model, one folder for every commit."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command; raises UserError for bad input."""
    options = _parser().parse_args(arguments)
    if options.length < 1:
        raise UserError(f"a length of {options.length} tokens", where="--length", cure="give at least 1")
    snapshots = hub_snapshots()
    chosen = [card(name) for name in options.names or names()]
    rows = [model_row(one, snapshots, length=options.length, dtype=options.dtype) for one in chosen]
    if options.json:
        print("\n".join(json.dumps(asdict(one), ensure_ascii=False) for one in rows))
    else:
        _show(rows, options.length, options.dtype)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legalrr models",
        description="The configured backbones: licence, context, memory (weights and one conversation's keys and "
        "values), and whether their files are here.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="choices of backbone= (default: all)")
    parser.add_argument("--length", type=int, default=32768, metavar="TOKENS", help="of prompt and answer (32768)")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16", help="of weights, keys and values (bfloat16)")
    parser.add_argument("--json", action="store_true", help="one JSON object per line, memory in bytes")
    return parser


def model_row(one: BackboneFacts, snapshots: Mapping[str, Mapping[str, Path]], *, length: int, dtype: str) -> ModelRow:
    """What is known of a backbone: from its configuration where a model folder is here, else from what its yaml states.

    The vocabulary in the head of a .gguf file takes seconds to read, so such a file goes by what is stated too.

    Args:
        one: the backbone.
        snapshots: see `legalrr.backbones.catalogue.hub_snapshots`.
        length: tokens of prompt and answer.
        dtype: float32, bfloat16 or float16.

    Raises:
        UserError: files that are here cannot be read.
    """
    paths = present(one, snapshots)
    context, weights, cache = one.context, one.weight_bytes(dtype), one.cache_bytes(length, dtype)
    if paths and paths[0].is_dir():
        context, weights, cache = _measured(one, paths[0], length, dtype)
    return ModelRow(
        name=one.name,
        model=one.model,
        licence=one.licence,
        context=context,
        length=length,
        dtype=dtype,
        weights=weights,
        cache=cache,
        files=_files(one, paths),
        paths=tuple(map(str, paths)),
    )


def _measured(one: BackboneFacts, folder: Path, length: int, dtype: str) -> tuple[int, int, int]:
    from legalrr.backbones.local.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(str(folder), None, dtype=dtype, option=f"backbone={one.name}")
    config = checkpoint.config
    weights = weight_bytes(checkpoint.auto, config, checkpoint.folder, dtype, "none")
    native = config.get_text_config(decoder=True).max_position_embeddings
    return native, weights, cache_bytes(config, length, dtype) + state_bytes(config, dtype)


def _files(one: BackboneFacts, paths: list[Path]) -> str:
    # `in` would not see a value that is still missing.
    if "model" not in one.node.keys():  # noqa: SIM118
        return "none"
    if one.served:
        return "served"
    if one.model is None:
        return "open"
    return "here" if paths else "absent"


def _show(rows: list[ModelRow], length: int, dtype: str) -> None:
    table = Table(
        header=("backbone", "model", "licence", "context", f"GB at {length:,} tokens\nin {dtype}", "files"),
        rows=tuple(
            (
                one.name,
                one.model or "-",
                one.licence or "?",
                "?" if one.context is None else f"{one.context:,}",
                _memory(one),
                FILES[one.files],
            )
            for one in rows
        ),
        numeric=(False, False, False, True, True, False),
    )
    console = standard_output(PIPE_WIDTH)
    table.show(console, grid=True)
    console.print(
        "GB (1e9 bytes): sum (weights + keys and values of one conversation); ?: not known; -: does not apply"
    )
    if any(one.files == "here" for one in rows):
        console.print("here: --json tells where, with the commits of a hub model")
    if any(one.files == "absent" for one in rows):
        console.print("not here: see the head of the file in conf/backbone, for most models")
        console.print("    hf download MODEL --revision COMMIT, with a commit from the model page (Files, History)")


def _memory(one: ModelRow) -> str:
    if one.files in ("none", "served"):
        return "-"
    if one.weights is None or one.cache is None:
        return "?"
    text = f"{(one.weights + one.cache) / 1e9:.1f} ({one.weights / 1e9:.1f} + {one.cache / 1e9:.1f})"
    return f"{text}\nbeyond its context" if one.context is not None and one.length > one.context else text


if __name__ == "__main__":
    main()
