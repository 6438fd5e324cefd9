"""The command `legalrr data`: list, fetch and check corpora."""

import argparse
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from statistics import median

from omegaconf import OmegaConf

from legalrr import tables
from legalrr.annotate.party import find_party
from legalrr.configuration import compose
from legalrr.corpora.catalogue import card, cards, local_files
from legalrr.corpora.checks import ENGLISH_ONLY, name_some
from legalrr.corpora.exchange import DocBinFile, SavedDataset
from legalrr.corpora.fetch import fetch, find_source
from legalrr.corpora.files import count_entities, describe_doubt
from legalrr.corpora.guess import LAYOUTS, guess_layout
from legalrr.corpora.label_studio import LabelStudio
from legalrr.corpora.marked import Marked
from legalrr.corpora.pdf_folder import PdfFolder
from legalrr.corpora.table import Table
from legalrr.corpora.text import SentenceLines, TextFolder
from legalrr.errors import UserError, one_line
from legalrr.hiding.hide import hide
from legalrr.paths import data_root
from legalrr.plain_yaml import YamlError, load_yaml
from legalrr.protocols import Corpus
from legalrr.records import OUTCOMES, PARTIES, Document, Judgment, Party, Segments
from legalrr.stage import build

Reader = Marked | SentenceLines | LabelStudio | Table | TextFolder | PdfFolder | SavedDataset | DocBinFile
PIPE_WIDTH = 120
FEW_WORDS = 50
"""Judgments with fewer words are named; the shortest judgment of the corpora has 46, the next one 211."""
CONFIGS = {
    "marked": "own_marked",
    "sentence-lines": "lawai50",
    "label-studio": "own_label_studio",
    "table": "own_table",
    "text": "own_text",
    "pdf": "own_pdf",
    "dataset": "own_dataset",
    "docbin": "own_docbin",
}
"""Layout -> a corpus of conf/corpus with its options."""
LABEL_SOURCES = {
    "marked": "the header of each file gives its outcome",
    "table": "use --label-column",
    "dataset": "the column outcome gives them",
    "docbin": "its documents give them",
}
"""Layouts that contain their outcomes, and where."""
EXAMPLES = """\
examples:
  legalrr data list
  legalrr data fetch lawai50
  HF_TOKEN=... legalrr data fetch build --to ~/corpora     (then set LEGALRR_DATA=~/corpora)
  legalrr data check my_judgments --labels labels.csv      (guesses the layout, and says which)
  legalrr data check cases.csv corpus.text_column=body corpus.label_column=won
  legalrr data check corpus=lawai50
  legalrr data check cases.jsonl.gz --layout table --id-column doc_id --label-column label
  legalrr data check annotated --layout marked --scheme build
"""


def main(arguments: list[str] | None = None) -> None:
    """Run the command; raises UserError for invalid input."""
    options = _parser().parse_args(arguments)
    options.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legalrr data",
        description="List, fetch and check corpora of judgments.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    lister = commands.add_parser("list", help="list the corpora and show which are available locally")
    lister.add_argument("--no-count", action="store_true", help="do not count the judgments")
    lister.set_defaults(run=_list)

    fetcher = commands.add_parser("fetch", help="download lawai50, marro or build, and verify every file")
    fetcher.add_argument("name", metavar="NAME", help="lawai50, marro or build")
    fetcher.add_argument("--to", type=Path, metavar="DIR", help="folder of your corpora (default: LEGALRR_DATA)")
    fetcher.add_argument("--base-url", metavar="URL", help="address of a mirror, before each file's path")
    fetcher.set_defaults(run=_fetch)

    checker = commands.add_parser("check", help="read judgments as an experiment does, and summarize them")
    checker.add_argument("path", metavar="PATH|corpus=NAME", help="file or folder, or a corpus of `legalrr data list`")
    checker.add_argument("overrides", metavar="corpus.OPTION=VALUE", nargs="*", help="options of the corpus")
    checker.add_argument("--layout", choices=LAYOUTS, help="default: guessed from the files")
    checker.add_argument("--scheme", choices=("build", "seven"), help="scheme of the roles")
    checker.add_argument("--labels", metavar="CSV", help="outcomes (sentence-lines, label-studio, text, pdf)")
    checker.add_argument("--id-column", metavar="NAME", default="id", help="table: column of ids (default: id)")
    checker.add_argument("--no-id-column", action="store_true", help="table: use row numbers as ids")
    checker.add_argument("--text-column", metavar="NAME", default="text", help="table: column of texts (default: text)")
    checker.add_argument("--label-column", metavar="NAME", help="table: column of labels")
    checker.add_argument(
        "--labels-map",
        metavar="MAP",
        default="{}",
        help="table: what labels mean, as '{0: dismissed, 1: allowed, Partly Allowed: allowed}'",
    )
    checker.add_argument("--spans-column", metavar="NAME", help="table: column of gold roles")
    checker.add_argument(
        "--roles-map", metavar="MAP", default="{}", help="table, sentence-lines: codes of roles, as '{Fact: FAC}'"
    )
    checker.add_argument(
        "--sentence-rows", action="store_true", help="table: a row is a sentence; ids name the judgment"
    )
    checker.set_defaults(run=_check)
    return parser


def _list(options: argparse.Namespace) -> None:
    rows = []
    for one in cards():
        reader = one.reader()
        paths = local_files(reader) if reader else []
        counts = _count_judgments(reader) if reader and paths and not options.no_count else ["", "", ""]
        place = f"available at {', '.join(map(str, paths))}" if paths else f"to get it: {one.get}"
        rows.append((one.name, *counts, f"{one.what}\nlicence: {one.licence}\n{place}"))
    header = ("corpus", "judgments", "labels", "roles", "content, licence, path or how to get it")
    table = tables.Table(header=header, rows=tuple(rows))
    table.show(tables.standard_output(PIPE_WIDTH), grid=True, lines=True)


def _count_judgments(reader: Corpus) -> list[str]:
    judgments = labels = 0
    schemes = set()
    for judgment in reader.read(reader.split):
        judgments += 1
        labels += judgment.outcome is not None
        schemes.add(judgment.scheme)
    split = f" ({reader.split})" if reader.split else ""
    return [f"{judgments}{split}", str(labels), ", ".join(sorted(filter(None, schemes))) or "none"]


def _fetch(options: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    origin, facts = find_source(options.name), card(options.name)
    folder = (options.to.expanduser() if options.to else data_root()) / options.name
    total = sum(item.size for item in origin.manifest())
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(options.name, total=total)
        count = fetch(origin, folder, base_url=options.base_url, progress=lambda step: bar.advance(task, step))
    there = len(origin.manifest()) - count
    print(one_line(f"{options.name}: {count} files fetched, {there} already present; all verified, in {folder}"))
    print(f"{one_line(f'licence: {facts.licence}')}\n{one_line(f'please cite: {facts.citation}')}")
    if folder.parent.resolve() != data_root().resolve():
        print(f"for experiments to find it: export LEGALRR_DATA={folder.parent}")


def _check(options: argparse.Namespace) -> None:
    logging.getLogger("legalrr").setLevel(logging.INFO)
    if unknown := [one for one in options.overrides if not one.startswith(("corpus.", "corpus="))]:
        raise UserError(
            f"not an option of a corpus: {unknown[0]!r}", where="legalrr data check", cure="write corpus.OPTION=VALUE"
        )
    if any(one.startswith("corpus=") for one in (options.path, *options.overrides)):
        reader = _compose([options.path, *options.overrides])
        split = "" if reader.split is None else f", split {reader.split}"
        lines = [f"corpus      {reader.name}{split}", *_summarize(reader.read(reader.split))]
    else:
        lines = []
        if options.layout is None:
            guess = guess_layout(Path(options.path))
            options.layout = guess.layout
            lines = [f"layout      {guess.layout}, guessed: {guess.reason} (--layout sets another)"]
        lines += _summarize(_override(_make_reader(options), options).read(None))
    print("\n".join(map(one_line, lines)))


def _compose(overrides: Sequence[str]) -> Corpus:
    """Build the reader of a corpus of conf/corpus."""
    return build(compose(overrides=overrides).corpus, Corpus, option="corpus")  # type: ignore[type-abstract]


def _override(reader: Reader, options: argparse.Namespace) -> Reader:
    """Return the reader with the options corpus.OPTION=VALUE."""
    if not options.overrides:
        return reader
    node = compose(overrides=[f"corpus={CONFIGS[options.layout]}", *options.overrides]).corpus
    changed = {one.name: getattr(reader, one.name) for one in fields(reader)}
    for override in options.overrides:
        name = override.partition("=")[0].removeprefix("corpus.").partition(".")[0]
        changed[name] = node[name]
    target = f"{type(reader).__module__}.{type(reader).__qualname__}"
    return build(OmegaConf.create({"_target_": target, **changed}), type(reader), option="corpus")


def _make_reader(options: argparse.Namespace) -> Reader:
    """Build the reader for the layout and path of the options."""
    path, labels = options.path, options.labels
    if labels and options.layout in LABEL_SOURCES:
        cure = LABEL_SOURCES[options.layout]
        raise UserError("--labels is not supported by this layout", where=f"--layout {options.layout}", cure=cure)
    roles = parse_map(options.roles_map, "--roles-map")
    match options.layout:
        case "marked":
            return Marked(name="check", folder=path, scheme=options.scheme or "build")
        case "sentence-lines":
            return SentenceLines(
                name="check", folder=path, scheme=options.scheme or "seven", outcomes=labels, roles=roles
            )
        case "label-studio":
            outcomes = {"check": labels} if labels else {}
            return LabelStudio(name="check", files={"check": path}, outcomes=outcomes, scheme=options.scheme or "build")
        case "table":
            return Table(
                name="check",
                file=path,
                id_column=None if options.no_id_column else options.id_column,
                text_column=options.text_column,
                label_column=options.label_column,
                labels=parse_map(options.labels_map, "--labels-map"),
                roles=roles,
                rows="sentences" if options.sentence_rows else "judgments",
                spans_column=options.spans_column,
                scheme=options.scheme,
            )
        case "dataset":
            return SavedDataset(name="check", folder=path, scheme=options.scheme)
        case "docbin":
            return DocBinFile(name="check", file=path, scheme=options.scheme)
        case "pdf":
            return PdfFolder(name="check", folder=path, labels=labels)
        case _:
            return TextFolder(name="check", folder=path, labels=labels)


def parse_map(text: str, option: str) -> dict[str, str]:
    """Parse {key: value, ...}, with all keys and values as text; raise UserError for anything else."""
    try:
        # "yes", "1.0" and "null" stay as they are written.
        found = load_yaml(text, depth=1)
    except YamlError as error:
        raise UserError(f"no mapping: {error}", where=option, cure="write '{KEY: VALUE, ...}'") from error
    if not isinstance(found, dict) or not all(isinstance(one, str) for pair in found.items() for one in pair):
        raise UserError(f"no mapping: {text!r}", where=option, cure="write '{KEY: VALUE, ...}'")
    return found


def _summarize(judgments: Iterable[Judgment]) -> list[str]:
    """Return the lines of a summary: counts, and possible problems."""
    words: list[int] = []
    outcomes: Counter[str | None] = Counter()
    parties: Counter[str | None] = Counter()
    roles: Counter[str] = Counter()
    texts: dict[int, str] = {}
    problems: list[str] = []
    short: list[str] = []
    foreign: list[str] = []
    entities: list[str] = []
    unannotated = 0
    for judgment in judgments:
        words.append(len(judgment.text.split()))
        outcomes[judgment.outcome] += 1
        parties[_find_party(judgment)] += 1
        roles.update(span.role for span in judgment.spans or ())
        unannotated += judgment.spans is None
        if words[-1] < FEW_WORDS:
            short.append(judgment.id)
        if describe_doubt(judgment.text):
            foreign.append(judgment.id)
        if count_entities(judgment.text):
            entities.append(judgment.id)
        first = texts.setdefault(hash(judgment.text), judgment.id)
        if first != judgment.id:
            problems.append(f"{judgment.id} has the same text as {first}")
    if not words:
        raise UserError("no judgment", where="legalrr data check", cure="check the path")
    of_all = f"of {len(words)} judgments"
    if short:
        problems.append(
            f"{len(short)} {of_all} have fewer than {FEW_WORDS} words ({name_some(short)}): is each a whole judgment, "
            "not a scan or a sentence?"
        )
    if foreign:
        problems.append(f"{len(foreign)} {of_all} are not in English ({name_some(foreign)}): {ENGLISH_ONLY}")
    if entities:
        problems.append(
            f"{len(entities)} {of_all} have HTML entities such as &nbsp; ({name_some(entities)}): replace them"
        )
    if outcomes[None]:
        cure = " (--label-column names a column, --labels a file)" if outcomes[None] == len(words) else ""
        problems.append(f"{outcomes[None]} of {len(words)} judgments have no label: they cannot be scored{cure}")
    if parties[None]:
        problems.append(
            f"{parties[None]} of {len(words)} judgments do not name the party that came to the court: "
            "set corpus.party, or use annotate.question=relief"
        )
    if roles and unannotated:
        problems.append(f"{unannotated} of {len(words)} judgments have no gold roles")
    return [
        f"judgments   {len(words)}",
        "labels      "
        + ", ".join(f"{outcomes[outcome]} {outcome}" for outcome in OUTCOMES)
        + f", {outcomes[None]} none",
        "party       " + ", ".join(f"{parties[party]} {party}" for party in PARTIES) + f", {parties[None]} unknown",
        "roles       " + (", ".join(f"{role} {count}" for role, count in roles.most_common()) or "none"),
        f"words       {min(words)} minimum, {median(words):g} median, {max(words)} maximum",
        "problems    " + ("; ".join(problems) or "none"),
    ]


def _find_party(judgment: Judgment) -> Party | None:
    """Return the party that the question of a prompt would name.

    Verdicts outside decisive roles are not hidden here: that is slow, and the party is found in the caption.
    """
    segments = Segments(id=judgment.id, scheme=judgment.scheme or "build", spans=judgment.spans or ())
    hidden = hide(judgment, segments, also=frozenset(), verdicts=False)
    document = Document(id=judgment.id, scheme=segments.scheme, headings=False, blocks=(), hidden=hidden)
    return find_party(judgment, document, named=False).role


if __name__ == "__main__":
    main()
