"""The command `legalrr models`: which backbones are configured, what they take, and which of them are here."""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from legalrr.backbones.catalogue import Card, card, hub_snapshots, names, present
from legalrr.backbones.footprint import cache_bytes, state_bytes, weight_bytes
from legalrr.errors import UserError
from legalrr.tables import Table, standard_output

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
class Row:
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
    """Run the command; exit status 2 for bad input, with one line that says what, where and what to do."""
    options = _parser().parse_args(arguments)
    try:
        if options.length < 1:
            raise UserError(f"a length of {options.length} tokens", where="--length", cure="give at least 1")
        snapshots = hub_snapshots()
        chosen = [card(name) for name in options.names or names()]
        rows = [row(one, snapshots, length=options.length, dtype=options.dtype) for one in chosen]
    except UserError as error:
        print(f"legalrr models: {error}", file=sys.stderr)
        sys.exit(2)
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


def row(one: Card, snapshots: Mapping[str, Mapping[str, Path]], *, length: int, dtype: str) -> Row:
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
    return Row(
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


def _measured(one: Card, folder: Path, length: int, dtype: str) -> tuple[int, int, int]:
    from legalrr.backbones.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(str(folder), None, dtype=dtype, option=f"backbone={one.name}")
    config = checkpoint.config
    weights = weight_bytes(checkpoint.auto, config, checkpoint.folder, dtype, "none")
    native = config.get_text_config(decoder=True).max_position_embeddings
    return native, weights, cache_bytes(config, length, dtype) + state_bytes(config, dtype)


def _files(one: Card, paths: list[Path]) -> str:
    # `in` would not see a value that is still missing.
    if "model" not in one.node.keys():  # noqa: SIM118
        return "none"
    if one.served:
        return "served"
    if one.model is None:
        return "open"
    return "here" if paths else "absent"


def _show(rows: list[Row], length: int, dtype: str) -> None:
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


def _memory(one: Row) -> str:
    if one.files in ("none", "served"):
        return "-"
    if one.weights is None or one.cache is None:
        return "?"
    text = f"{(one.weights + one.cache) / 1e9:.1f} ({one.weights / 1e9:.1f} + {one.cache / 1e9:.1f})"
    return f"{text}\nbeyond its context" if one.context is not None and one.length > one.context else text


if __name__ == "__main__":
    main()
