"""The command `legalrr segment`: train, score and use taggers of rhetorical roles.

The sub-commands `tag`, `export`, `show` and `roles` are defined here, the others in `legalrr.segment.training_cli`.
"""

import argparse
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.corpora.bounded_files import decode_utf8, read_text
from legalrr.corpora.catalogue import card
from legalrr.corpora.exchange import FORMATS, check_destination, export, to_json_line, with_roles
from legalrr.corpora.files import check_plain_text, list_text_files
from legalrr.corpora.pdf import list_pdf_files, read_pdf
from legalrr.elastic import Workers
from legalrr.errors import UserError, one_line
from legalrr.files import require_own, require_writable, write_atomically
from legalrr.protocols import Segmenter
from legalrr.records import Judgment, Segments
from legalrr.roles import KINDS, SCHEMES, losses, mapping
from legalrr.segment import training_cli
from legalrr.segment.tagger import load_tagger
from legalrr.tables import Table, standard_output
from legalrr.workers.tagging import tag_judgments

if TYPE_CHECKING:
    from argparse import _SubParsersAction


STDIN = "-"
PAGE_START = (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy"'
)
"""How the page of `show` begins."""
PIPE_WIDTH = 160
WORKER_OPTION = re.compile(r"workers(\.\w+)?=")
"""How an option of workers begins; a file of such a name can be given as ./NAME."""
EXAMPLES = """\
examples:
  legalrr segment train --corpus build --out build.crfsuite
  legalrr segment train --corpus lawai50+marro --out seven.crfsuite --folds 0
  legalrr segment evaluate --corpus lawai50 --folds 5 --seed 0
  legalrr segment train --tagger adapted --corpus build --also lawai50+marro --out adapted.safetensors
  legalrr segment curve --corpus build --shares 0.25,0.5,1 --out curve
  legalrr segment tag judgments/ > roles.jsonl
  legalrr segment tag *.txt --scheme seven --model seven.crfsuite
  legalrr segment tag judgments/ --format label-studio --out tasks.json
  legalrr segment tag judgments/ --segment neural workers=ray workers.count=4 > roles.jsonl
  legalrr segment export --corpus specimen --format docbin --out roles.spacy
  legalrr segment show judgment.txt --out judgment.html
  legalrr segment roles --from build --to seven
"""


def add_commands(commands: "_SubParsersAction[Any]") -> None:
    """Add `tag`, `export`, `show` and `roles` to the command's parser."""
    tagging = argparse.ArgumentParser(add_help=False)
    tagging.add_argument("--segment", default="crf", metavar="NAME", help="tagger in conf/segment (default crf)")
    tagging.add_argument("--scheme", choices=("build", "seven"), default="build", help="13 or 7 roles (default build)")
    tagging.add_argument("--model", help="model file (default: the one that ships for the scheme)")
    tagging.add_argument("--prior-correction", type=float, help="0 to 1: favour rare roles (default: the tagger's)")

    output = argparse.ArgumentParser(add_help=False)
    output.add_argument(
        "--format",
        choices=FORMATS,
        default="jsonl",
        help="output format; jsonl (default) has no text, the others can be read back",
    )

    tag = commands.add_parser("tag", parents=[tagging, output], help="tag judgments, by default to JSON lines")
    tag.add_argument("--out", type=Path, metavar="PATH", help="file or, for dataset, folder (default: standard output)")
    tag.add_argument(
        "inputs",
        nargs="+",
        metavar="FILE|DIR|-",
        help="UTF-8 text, PDF, a folder of *.txt and *.pdf, standard input; workers=ray workers.count=N: by processes",
    )
    tag.set_defaults(run=_tag)

    gold = commands.add_parser("export", parents=[output], help="write the gold roles of a corpus for other tools")
    gold.add_argument("--corpus", required=True, metavar="NAME", help="corpus in conf/corpus")
    gold.add_argument("--split", help="split to read (default: all)")
    gold.add_argument("--out", type=Path, required=True, metavar="PATH", help="file or, for dataset, folder")
    gold.set_defaults(run=_export)

    show = commands.add_parser("show", parents=[tagging], help="write an HTML page of a judgment coloured by role")
    show.add_argument("input", metavar="FILE|-", help="UTF-8 text, PDF, or standard input")
    show.add_argument("--out", required=True, type=Path, metavar="PAGE", help="output file, *.html")
    show.set_defaults(run=_show)

    roles = commands.add_parser("roles", help="show how the roles of four published schemes correspond")
    roles.add_argument("--from", dest="source", choices=SCHEMES, help="with --to: one mapping and its losses")
    roles.add_argument("--to", dest="target", choices=SCHEMES, help="with --from: one mapping and its losses")
    roles.set_defaults(run=_roles)


def _tag(options: argparse.Namespace) -> None:
    if options.out is not None:
        check_destination(options.out, format=options.format)
    elif options.format != "jsonl":
        raise UserError("no output file", where=f"--format {options.format}", cure="name one with --out")
    segmenter = _load_tagger(options)
    # Report a missing or damaged model once, not for every file.
    segmenter.provenance()
    overrides = [one for one in options.inputs if WORKER_OPTION.match(one)]
    workers = _workers(overrides)
    names = list(_expand_inputs([one for one in options.inputs if one not in overrides]))
    failed: list[str] = []
    tagged: list[Judgment] = []
    results = tag_judgments(segmenter, _read_judgments(names, failed), workers, total=len(names), label="tag")
    for judgment, found in _in_order(results):
        if isinstance(found, UserError):
            _note_failure(failed, judgment.id, found)
        elif options.out is None:
            print(to_json_line(with_roles(judgment, found), tagger=segmenter.name), flush=True)
        else:
            tagged.append(with_roles(judgment, found))
    if tagged:
        count = export(tagged, options.out, format=options.format, tagger=segmenter.name)
        print(one_line(f"wrote {options.out} ({count} judgments)"))
    if failed:
        sys.exit(2)


def _workers(overrides: Sequence[str]) -> Workers | None:
    """Build the workers that the options `workers=...` name; None without any."""
    if not overrides:
        return None
    from legalrr.configuration import compose
    from legalrr.stage import build

    node = compose(overrides=overrides).get("workers")
    if node is None:
        raise UserError(f"{overrides[0]} without workers", where="legalrr segment tag", cure="add workers=ray")
    return build(node, Workers, option="workers")  # type: ignore[type-abstract]


def _read_judgments(names: Iterable[str], failed: list[str]) -> Iterator[Judgment]:
    """Yield the judgments of files; an invalid file is reported, and does not prevent tagging the others."""
    seen: dict[str, str] = {}
    for name in names:
        try:
            judgment = _read_judgment(name)
            if judgment.id in seen:
                raise UserError(f"same id {judgment.id!r} as {seen[judgment.id]}", where=name, cure="rename the file")
        except UserError as error:
            _note_failure(failed, name, error)
        else:
            seen[judgment.id] = name
            yield judgment


def _in_order(
    results: Iterable[tuple[int, Judgment, Segments | UserError]],
) -> Iterator[tuple[Judgment, Segments | UserError]]:
    """Yield the results of `tag_judgments` by index, as workers finish in any order."""
    waiting: dict[int, tuple[Judgment, Segments | UserError]] = {}
    following = 0
    for number, judgment, found in results:
        waiting[number] = judgment, found
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def _note_failure(failed: list[str], name: str, error: UserError) -> None:
    print(f"legalrr segment: {error}", file=sys.stderr)
    failed.append(name)


def _export(options: argparse.Namespace) -> None:
    check_destination(options.out, format=options.format)
    judgments = list(card(options.corpus).require_reader().read(options.split))
    gold = [judgment for judgment in judgments if judgment.spans is not None]
    if not gold:
        raise UserError("no judgment has gold roles", where=f"--corpus {options.corpus}", cure="tag its texts instead")
    count = export(gold, options.out, format=options.format)
    print(one_line(f"wrote {options.out} ({count} of {len(judgments)} judgments)"))


def _show(options: argparse.Namespace) -> None:
    from legalrr.segment.page import render_judgment

    if options.out.suffix not in (".html", ".htm") or not options.out.parent.is_dir():
        raise UserError(
            "cannot write the page there", where=f"--out {options.out}", cure="name a *.html in an existing folder"
        )
    require_own(options.out, PAGE_START)
    require_writable(options.out)
    segmenter = _load_tagger(options)
    judgment = _read_judgment(options.input)
    segments = segmenter.segment(judgment)
    write_atomically(options.out, render_judgment(judgment, segments, tagger=segmenter.name))
    print(one_line(f"wrote {options.out} ({len(segments.spans)} sentences)"))


def _roles(options: argparse.Namespace) -> None:
    if (options.source is None) != (options.target is None):
        raise UserError("only one of two schemes", where="legalrr segment roles", cure="give both --from and --to")
    console = standard_output(PIPE_WIDTH)
    if options.source:
        rows = tuple((role, other or "-") for role, other in mapping(options.source, options.target).items())
        Table(header=(options.source, options.target), rows=rows).show(console, grid=True)
        for loss in losses(options.source, options.target):
            console.print(f"{loss.kind}: {loss}")
    else:
        kinds = tuple((*(getattr(kind, name) or "-" for name in SCHEMES), kind.note) for kind in KINDS)
        Table(header=(*SCHEMES, "what is lost"), rows=kinds).show(console, grid=True)


def _load_tagger(options: argparse.Namespace) -> Segmenter:
    return load_tagger(
        options.segment,
        scheme=options.scheme,
        model=options.model,
        prior_correction=options.prior_correction,
        option="--segment",
    )


def _expand_inputs(inputs: list[str]) -> Iterator[str]:
    for name in inputs:
        if name != STDIN and Path(name).is_dir():
            pdfs = list_pdf_files(Path(name))
            # Without any file, `list_text_files` raises the error.
            named = any(path.suffix.lower() == ".txt" for path in Path(name).iterdir())
            texts = list_text_files(Path(name)) if named or not pdfs else []
            yield from map(str, [*texts, *pdfs])
        else:
            yield name


def _read_judgment(name: str) -> Judgment:
    """Read a judgment from a file or standard input.

    Raises:
        UserError: missing, empty, not UTF-8 or binary; the message gives the place of the first invalid byte.
    """
    path = Path(name)
    if name == STDIN:
        text = decode_utf8(sys.stdin.buffer.read(), where="standard input")
    elif not path.is_file():
        raise UserError(
            "no such file", where=name, cure="name text files, PDFs, folders of them, or - for standard input"
        )
    elif path.suffix.lower() == ".pdf":
        pdf = read_pdf(path)
        pdf.require_text()
        text = pdf.text
    else:
        text = read_text(path)
    if "\0" in text:
        raise UserError(f"binary: a zero byte at character {text.index(chr(0))}", where=name, cure="name a text file")
    check_plain_text(text, where=name)
    if not text.strip():
        raise UserError("no text", where=name, cure="name a file that contains a judgment")
    return Judgment(id="stdin" if name == STDIN else path.stem, text=text, source=name)


def main(arguments: list[str] | None = None) -> None:
    """Run the command; raises UserError for invalid input."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    options.command_line = shlex.join(["legalrr", "segment", *given])
    options.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legalrr segment",
        description="Rhetorical roles: train and score a tagger, tag and show judgments.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    training_cli.add_commands(commands)
    add_commands(commands)
    return parser


if __name__ == "__main__":
    main()
