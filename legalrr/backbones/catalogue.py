"""List the backbones of conf/backbone: licence, context, memory, engines and files; the command `legalrr models`."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import fill

from legalrr.backbones.facts import BackboneFacts, backbone_names, card
from legalrr.backbones.local.memory import cache_bytes, state_bytes, weight_bytes
from legalrr.backbones.local.model_files import locate
from legalrr.errors import UserError
from legalrr.hub import COMMIT
from legalrr.tables import Table, standard_output

INDEX = "model.safetensors.index.json"
PIPE_WIDTH = 160
ENGINES_WIDTH = 12
DTYPES = ("float32", "bfloat16", "float16")
FILES = {
    "here": "here",
    "absent": "not here",
    "served": "on a server",
    "open": "set backbone.model",
    "none": "none needed",
}
"""Cells of the column files."""
EXAMPLES = """\
examples:
  legalrr models
  legalrr models qwen3_vl_8b qwen3_vl_30b_a3b --length 262144
  legalrr models --dtype float32 --length 8192 --json
"""


def hub_snapshots() -> Mapping[str, Mapping[str, Path]]:
    """Return the model folders in the local hub cache, by id and commit; they may be incomplete."""
    from huggingface_hub import CacheNotFound, constants, scan_cache_dir

    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return {}
    return {
        repo.repo_id: {backbone.commit_hash: backbone.snapshot_path for backbone in repo.revisions}
        for repo in repos
        if repo.repo_type == "model"
    }


def _is_complete(folder: Path) -> bool:
    """Whether a folder contains the configuration and all weights."""
    if not (folder / "config.json").is_file():
        return False
    if (folder / INDEX).is_file():
        try:
            parts = json.loads((folder / INDEX).read_text("utf-8"))["weight_map"].values()
        except (ValueError, KeyError) as error:
            cure = "remove the folder, and download the model again"
            raise UserError("this file is damaged", where=str(folder / INDEX), cure=cure) from error
        return all((folder / part).is_file() for part in parts)
    return any(folder.glob("*.safetensors"))


def local_files(backbone: BackboneFacts, snapshots: Mapping[str, Mapping[str, Path]]) -> list[Path]:
    """Return the local model folders or .gguf file of a backbone.

    Args:
        backbone: the backbone; for a hub model at a branch or tag, all commits are returned.
        snapshots: see `hub_snapshots`; incomplete ones are skipped.

    Raises:
        UserError: a damaged weight index.
    """
    if backbone.model is None or backbone.served:
        return []
    revision = backbone.node.get("revision")
    if backbone.hub:
        commits = snapshots.get(backbone.model, {})
        wanted = revision if revision is not None and COMMIT.fullmatch(revision) else None
        return [
            folder for commit, folder in sorted(commits.items()) if wanted in (None, commit) and _is_complete(folder)
        ]
    try:
        path = locate(backbone.model, revision, option=f"backbone={backbone.name}")
    except UserError:
        return []
    return [path] if path is not None else []


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """One backbone at a length and dtype; None: unknown, or not applicable."""

    name: str
    """Its config name: `backbone=<name>`."""
    model: str | None
    licence: str | None
    context: int | None
    """Native or configured context length, in tokens."""
    length: int
    """Length of prompt plus answer, in tokens."""
    dtype: str
    weights: int | None
    """Bytes of the weights, without activations."""
    cache: int | None
    """Bytes of keys, values and Gated KalmaNet states of one conversation of that length."""
    files: str
    """A key of `FILES`."""
    paths: tuple[str, ...]
    """Local files: for a hub model, one folder per commit."""
    engines: tuple[str, ...]
    """See `BackboneFacts`, also for the fields below."""
    source: str | None
    read: str | None
    uncertain: tuple[str, ...]
    """Without the facts that local files give."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command; raises UserError for invalid input."""
    options = _parser().parse_args(arguments)
    if options.length < 1:
        raise UserError(f"a length of {options.length} tokens", where="--length", cure="give at least 1")
    snapshots = hub_snapshots()
    chosen = [card(name) for name in options.names or backbone_names()]
    rows = [model_row(one, snapshots, length=options.length, dtype=options.dtype) for one in chosen]
    if options.json:
        print("\n".join(json.dumps(asdict(row), ensure_ascii=False) for row in rows))
    else:
        _show(rows, options.length, options.dtype)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legalrr models",
        description="List the configured backbones: licence, context, memory (weights, and keys and values of one "
        "conversation), the engines that run them (engine=NAME), and whether their files are local.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="names for backbone= (default: all)")
    parser.add_argument(
        "--length", type=int, default=32768, metavar="TOKENS", help="length of prompt plus answer (32768)"
    )
    parser.add_argument(
        "--dtype", choices=DTYPES, default="bfloat16", help="dtype of weights, keys and values (bfloat16)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line, memory in bytes")
    return parser


def model_row(
    backbone: BackboneFacts, snapshots: Mapping[str, Mapping[str, Path]], *, length: int, dtype: str
) -> ModelRow:
    """Describe a backbone from its local configuration, or else from its metadata.

    Metadata is also used for a .gguf file, whose header takes seconds to read.

    Args:
        backbone: the backbone.
        snapshots: see `hub_snapshots`.
        length: length of prompt plus answer, in tokens.
        dtype: float32, bfloat16 or float16.

    Raises:
        UserError: local files cannot be read.
    """
    paths = local_files(backbone, snapshots)
    context, weights, cache = backbone.context, backbone.weight_bytes(dtype), backbone.cache_bytes(length, dtype)
    uncertain = backbone.uncertain
    if paths and paths[0].is_dir():
        context, weights, cache = _from_config(backbone, paths[0], length, dtype)
        uncertain = tuple(one for one in uncertain if one == "licence")
    return ModelRow(
        name=backbone.name,
        model=backbone.model,
        licence=backbone.licence,
        context=context,
        length=length,
        dtype=dtype,
        weights=weights,
        cache=cache,
        files=_files(backbone, paths),
        paths=tuple(map(str, paths)),
        engines=backbone.engines,
        source=backbone.source,
        read=backbone.read,
        uncertain=uncertain,
    )


def _from_config(backbone: BackboneFacts, folder: Path, length: int, dtype: str) -> tuple[int, int, int]:
    from legalrr.backbones.local.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(str(folder), None, dtype=dtype, option=f"backbone={backbone.name}")
    config = checkpoint.config
    weights = weight_bytes(checkpoint.auto, config, checkpoint.folder, dtype, "none")
    native = config.get_text_config(decoder=True).max_position_embeddings
    return native, weights, cache_bytes(config, length, dtype) + state_bytes(config, dtype)


def _files(backbone: BackboneFacts, paths: list[Path]) -> str:
    # `in` does not find a mandatory value that is missing.
    if "model" not in backbone.node.keys():  # noqa: SIM118
        return "none"
    if backbone.served:
        return "served"
    if backbone.model is None:
        return "open"
    return "here" if paths else "absent"


def _show(rows: list[ModelRow], length: int, dtype: str) -> None:
    table = Table(
        header=("backbone", "model", "licence", "context", f"GB at {length:,} tokens\nin {dtype}", "engines", "files"),
        rows=tuple(
            (
                row.name,
                row.model or "-",
                _marked(row.licence or "?", row, "licence"),
                "?" if row.context is None else _marked(f"{row.context:,}", row, "context"),
                _memory(row),
                fill(", ".join(row.engines), ENGINES_WIDTH) or "-",
                FILES[row.files],
            )
            for row in rows
        ),
        numeric=(False, False, False, True, True, False, False),
    )
    console = standard_output(PIPE_WIDTH)
    table.show(console, grid=True)
    console.print("GB (1e9 bytes): sum (weights + keys and values of one conversation); ?: unknown; -: not applicable")
    if any(row.uncertain for row in rows):
        console.print("a value with ? was not checked against the model's files; --json gives its source")
    if any(row.files == "here" for row in rows):
        console.print("here: --json lists the folders, with the commits of a hub model")
    if any(row.files == "absent" for row in rows):
        console.print(
            "not here: downloaded by the first run; see the comments of the file in conf/backbone for terms to accept"
        )


def _marked(text: str, row: ModelRow, *facts: str) -> str:
    """Mark a text that follows from an uncertain fact."""
    return f"{text} ?" if set(facts) & set(row.uncertain) else text


def _memory(row: ModelRow) -> str:
    if row.files in ("none", "served"):
        return "-"
    if row.weights is None or row.cache is None:
        return "?"
    text = f"{(row.weights + row.cache) / 1e9:.1f} ({row.weights / 1e9:.1f} + {row.cache / 1e9:.1f})"
    text = _marked(text, row, "parameters", "cache", "state")
    return f"{text}\nbeyond its context" if row.context is not None and row.length > row.context else text


if __name__ == "__main__":
    main()
