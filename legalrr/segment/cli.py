"""Run the command `legalrr segment`.

The commands `legalrr segment tag`, `export`, `show` and `roles`.

The command `legalrr segment`: training, scoring and using a tagger of rhetorical roles.
"""

import argparse
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.corpora.catalogue import card
from legalrr.corpora.exchange import FORMS, check_place, export, json_line, with_roles
from legalrr.corpora.files import decoded, read_text, text_files
from legalrr.corpora.pdf import pdf_files, read_pdf
from legalrr.errors import UserError
from legalrr.progress import progress
from legalrr.protocols import Segmenter
from legalrr.records import Judgment
from legalrr.roles import KINDS, SCHEMES, losses, mapping
from legalrr.segment import training_cli
from legalrr.segment.tagger import load_tagger
from legalrr.store import write_atomically
from legalrr.tables import Table, standard_output

if TYPE_CHECKING:
    from argparse import _SubParsersAction


STDIN = "-"
PIPE_WIDTH = 160


def add_commands(commands: "_SubParsersAction[Any]") -> None:
    """Add `tag`, `export`, `show` and `roles` to the command's parser."""
    tagging = argparse.ArgumentParser(add_help=False)
    tagging.add_argument("--segment", default="crf", metavar="NAME", help="tagger in conf/segment (default crf)")
    tagging.add_argument("--scheme", choices=("build", "seven"), default="build", help="13 or 7 roles (default build)")
    tagging.add_argument("--model", help="model file (default: the one that ships for the scheme)")
    tagging.add_argument("--prior-correction", type=float, help="0 to 1: favour rare roles (default: the tagger's)")

    output = argparse.ArgumentParser(add_help=False)
    output.add_argument(
        "--format", choices=FORMS, default="jsonl", help="jsonl (default; roles without the text), or what is read back"
    )

    tag = commands.add_parser("tag", parents=[tagging, output], help="tag text; a JSON line per judgment")
    tag.add_argument("--out", type=Path, metavar="PATH", help="file or, for dataset, folder (default: standard output)")
    tag.add_argument(
        "inputs", nargs="+", metavar="FILE|DIR|-", help="UTF-8 text, PDF, a folder of *.txt and *.pdf, standard input"
    )
    tag.set_defaults(run=_tag)

    gold = commands.add_parser("export", parents=[output], help="write the gold roles of a corpus for other tools")
    gold.add_argument("--corpus", required=True, metavar="NAME", help="corpus in conf/corpus")
    gold.add_argument("--split", help="split that is read (default: all)")
    gold.add_argument("--out", type=Path, required=True, metavar="PATH", help="file or, for dataset, folder")
    gold.set_defaults(run=_export)

    show = commands.add_parser("show", parents=[tagging], help="write a judgment, coloured by role, as an HTML page")
    show.add_argument("input", metavar="FILE|-", help="UTF-8 text, PDF, or standard input")
    show.add_argument("--out", required=True, type=Path, metavar="PAGE", help="the page to write, *.html")
    show.set_defaults(run=_show)

    roles = commands.add_parser("roles", help="how the roles of four published schemes correspond, and what is lost")
    roles.add_argument("--from", dest="source", choices=SCHEMES, help="with --to: one mapping and its losses")
    roles.add_argument("--to", dest="target", choices=SCHEMES, help="with --from: one mapping and its losses")
    roles.set_defaults(run=_roles)


def _tag(options: argparse.Namespace) -> None:
    if options.out is not None:
        check_place(options.out, form=options.format)
    elif options.format != "jsonl":
        raise UserError("no file to write", where=f"--format {options.format}", cure="name one with --out")
    segmenter = _segmenter(options)
    # A model that is missing or damaged is told once, not for every file.
    segmenter.provenance()
    names = list(_names(options.inputs))
    failed = False
    seen: dict[str, str] = {}
    tagged: list[Judgment] = []
    with progress("tag", len(names), "judgments") as advance:
        for name in names:
            try:
                judgment = _judgment(name)
                if judgment.id in seen:
                    raise UserError(
                        f"its id {judgment.id!r} is that of {seen[judgment.id]}", where=name, cure="rename it"
                    )
                seen[judgment.id] = name
                found = with_roles(judgment, segmenter.segment(judgment))
            except UserError as error:
                # One bad file among many does not keep the others from being tagged.
                print(f"legalrr segment: {error}", file=sys.stderr)
                failed = True
            else:
                if options.out is None:
                    print(json_line(found, tagger=segmenter.name), flush=True)
                else:
                    tagged.append(found)
            advance(1)
    if tagged:
        count = export(tagged, options.out, form=options.format, tagger=segmenter.name)
        print(f"wrote {options.out} ({count} judgments)")
    if failed:
        sys.exit(2)


def _export(options: argparse.Namespace) -> None:
    check_place(options.out, form=options.format)
    one = card(options.corpus)
    reader = one.reader()
    if reader is None:
        raise UserError(
            "this corpus waits for your own path", where=str(one.file), cure="put the path into a copy of it"
        )
    judgments = list(reader.read(options.split))
    gold = [judgment for judgment in judgments if judgment.spans is not None]
    if not gold:
        raise UserError("no judgment has gold roles", where=f"--corpus {options.corpus}", cure="tag its texts instead")
    count = export(gold, options.out, form=options.format)
    print(f"wrote {options.out} ({count} of {len(judgments)} judgments)")


def _show(options: argparse.Namespace) -> None:
    from legalrr.segment.page import page

    if options.out.suffix not in (".html", ".htm") or not options.out.parent.is_dir():
        raise UserError(
            "no place for a page", where=f"--out {options.out}", cure="name a *.html in a folder that exists"
        )
    segmenter = _segmenter(options)
    judgment = _judgment(options.input)
    segments = segmenter.segment(judgment)
    write_atomically(options.out, page(judgment, segments, tagger=segmenter.name))
    print(f"wrote {options.out} ({len(segments.spans)} sentences)")


def _roles(options: argparse.Namespace) -> None:
    if (options.source is None) != (options.target is None):
        raise UserError("one scheme of two", where="legalrr segment roles", cure="give both --from and --to")
    console = standard_output(PIPE_WIDTH)
    if options.source:
        rows = tuple((role, other or "-") for role, other in mapping(options.source, options.target).items())
        Table(header=(options.source, options.target), rows=rows).show(console, grid=True)
        for loss in losses(options.source, options.target):
            console.print(f"{loss.kind}: {loss}")
    else:
        kinds = tuple((*(getattr(kind, name) or "-" for name in SCHEMES), kind.note) for kind in KINDS)
        Table(header=(*SCHEMES, "what is lost"), rows=kinds).show(console, grid=True)


def _segmenter(options: argparse.Namespace) -> Segmenter:
    return load_tagger(
        options.segment,
        scheme=options.scheme,
        model=options.model,
        prior_correction=options.prior_correction,
        option="--segment",
    )


def _names(inputs: list[str]) -> Iterator[str]:
    for name in inputs:
        if name != STDIN and Path(name).is_dir():
            pdfs = pdf_files(Path(name))
            # Where there is neither, the error about text files says what is wanted.
            texts = text_files(Path(name)) if not pdfs or any(Path(name).glob("*.txt")) else []
            yield from map(str, [*texts, *pdfs])
        else:
            yield name


def _judgment(name: str) -> Judgment:
    """The judgment in a file or on standard input.

    Raises:
        UserError: it is not there, no text, not UTF-8 or binary; with the place of the first offending byte.
    """
    path = Path(name)
    if name == STDIN:
        text = decoded(sys.stdin.buffer.read(), where="standard input")
    elif not path.is_file():
        raise UserError(
            "no such file", where=name, cure="name text files, PDFs, folders of them, or - for standard input"
        )
    elif path.suffix.lower() == ".pdf":
        pdf = read_pdf(path)
        pdf.need_text()
        text = pdf.text
    else:
        text = read_text(path)
    if "\0" in text:
        raise UserError(f"binary: a zero byte at character {text.index(chr(0))}", where=name, cure="name a text file")
    if not text.strip():
        raise UserError("no text in it", where=name, cure="name a file that holds a judgment")
    return Judgment(id="stdin" if name == STDIN else path.stem, text=text, source=name)


EXAMPLES = """\
examples:
  legalrr segment train --corpus build --out build.crfsuite
  legalrr segment train --corpus lawai50+marro --out seven.crfsuite --folds 0
  legalrr segment evaluate --corpus lawai50 --folds 5 --seed 0
  legalrr segment curve --corpus build --shares 0.25,0.5,1 --out curve
  legalrr segment tag judgments/ > roles.jsonl
  legalrr segment tag *.txt --scheme seven --model seven.crfsuite
  legalrr segment tag judgments/ --format label-studio --out tasks.json
  legalrr segment export --corpus specimen --format docbin --out roles.spacy
  legalrr segment show judgment.txt --out judgment.html
  legalrr segment roles --from build --to seven
"""


def main(arguments: list[str] | None = None) -> None:
    """Run the command; raises UserError for bad input."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    options.command_line = shlex.join(["legalrr", "segment", *given])
    options.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legalrr segment",
        description="Rhetorical roles: train a tagger, score it, tag judgments, show them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    training_cli.add_commands(commands)
    add_commands(commands)
    return parser


if __name__ == "__main__":
    main()
