"""The command `legalrr audit`: check published tables of rates, and bound the significance of their differences."""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from legalrr.errors import UserError

EPILOG = """\
A table is a CSV with a row per figure (columns metric and value) or a row per cell (a column per rate: macro_f1, fpr,
fnr, accuracy, ...). Columns dataset, model, components and subset identify the cell; n, positives, unanswered and
runs describe its cases. What is not given is searched: the smallest n, and the class balance, that give the figures of
every cell. Claims are a CSV, too: columns claim, metric and points, and optionally dataset, model, components,
reference and table; x.claims.csv beside x.csv is read by default.

files written with --out: audit.md (the report), audit.csv (a row per cell), audit_pairs.csv (a row per difference)

examples:
  legalrr audit data/published/khatri2025_prediction.csv
  legalrr audit mine.csv --n 300 --positives 150 --reference plain --out audit
  legalrr audit mine.csv --n test=300 --n dev=80 --as f1=macro_f1 --as seconds=ignore
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; raises UserError for bad input."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _audit(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legalrr audit",
        description="Find the confusion matrices that give the rates of a published table; report which captions do "
        "not hold, which rates the figures are instead, and the least p of a paired test of two cells.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("tables", nargs="+", type=Path, metavar="TABLE", help="CSV file of printed rates")
    add(
        "--n",
        action="append",
        default=[],
        metavar="[DATASET=]N",
        help="number of cases (default: as the table, else searched)",
    )
    add("--positives", action="append", default=[], metavar="[DATASET=]N", help="cases of the positive class")
    add(
        "--unanswered",
        action="append",
        default=[],
        metavar="[DATASET=]N",
        help="cases without an answer, counted as misses; any: an unknown number (default: 0)",
    )
    add(
        "--runs",
        action="append",
        default=[],
        metavar="[DATASET=]K",
        help="runs that figures with a deviation are means of",
    )
    add(
        "--as",
        action="append",
        default=[],
        metavar="NAME=RATE",
        dest="names",
        help="rate that a caption stands for; or ignore",
    )
    add(
        "--scale",
        choices=("percent", "fraction"),
        help="scale of all figures (default: percent in a column with a figure above 1)",
    )
    add(
        "--rounding",
        choices=("nearest", "truncated", "either"),
        default="nearest",
        help="how figures were rounded (default: nearest; a tie may go up or down)",
    )
    add("--claims", type=Path, metavar="CSV", help="differences that the text claims (default: TABLE's .claims.csv)")
    add("--reference", default="none", metavar="ARM", help="components of the reference arm (default: none)")
    add("--max-n", type=int, default=100, metavar="N", help="largest n of the search (default: 100)")
    add("--out", type=Path, metavar="DIR", help="write audit.md, audit.csv and audit_pairs.csv into this folder")
    add("--quiet", action="store_true", help="print the paths of the files only")
    return parser


def _audit(options: argparse.Namespace) -> None:
    from legalrr.audit.audit import Settings, audit
    from legalrr.audit.output import show, write
    from legalrr.audit.table import Sizes

    if options.max_n < 2:
        raise UserError(f"cannot search up to {options.max_n} cases", where="--max-n", cure="give at least 2")
    sizes = {
        name: _by_dataset(f"--{name}", getattr(options, name), unknown="any" if name == "unanswered" else None)
        for name in ("n", "positives", "unanswered", "runs")
    }
    found = audit(
        options.tables,
        claims=options.claims,
        settings=Settings(
            sizes=Sizes(**sizes),
            names=dict(_named(text) for text in options.names),
            rounding=options.rounding,
            scale=options.scale,
            reference=options.reference,
            max_n=options.max_n,
        ),
    )
    if not options.quiet:
        show(found)
    for path in write(found, options.out) if options.out else ():
        print(path)


def _by_dataset(option: str, texts: Sequence[str], *, unknown: str | None) -> Mapping[str, int | None]:
    """Parse repeated [DATASET=]N into dataset -> number."""
    sizes: dict[str, int | None] = {}
    for text in texts:
        dataset, _, number = text.rpartition("=")
        if number == unknown:
            sizes[dataset] = None
        elif re.fullmatch(r"\d+", number) and (int(number) or option in ("--positives", "--unanswered")):
            sizes[dataset] = int(number)
        else:
            raise UserError(f"{text!r} is not a number", where=option, cure=f"such as {option} 44 or {option} test=44")
    return sizes


def _named(text: str) -> tuple[str, str]:
    name, mark, rate = text.rpartition("=")
    if not mark or not name or not rate:
        raise UserError(f"{text!r} does not name a rate", where="--as", cure="such as --as f1=macro_f1")
    return name, rate
