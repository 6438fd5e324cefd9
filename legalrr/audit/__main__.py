"""The command `legalrr audit`: what published tables of rates can be, and what the differences in them are worth."""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from legalrr.errors import UserError

EPILOG = """\
A table is a CSV with a row per figure (columns metric and value) or a row per cell (a column per rate: macro_f1, fpr,
fnr, accuracy, ...). Columns dataset, model, components and subset say which cell it is; n, positives, unanswered and
runs what is known of its cases. What is not known is searched: the smallest n, and the class balance, that give the
figures of every cell. Claims are a CSV too: columns claim, metric and points, and dataset, model, components, reference
and table as far as they are said; x.claims.csv beside x.csv is read by itself.

files written with --out: audit.md (to be read), audit.csv (a row per cell), audit_pairs.csv (a row per difference)

examples:
  legalrr audit data/published/khatri2025_prediction.csv
  legalrr audit mine.csv --n 300 --positives 150 --reference plain --out audit
  legalrr audit mine.csv --n test=300 --n dev=80 --as f1=macro_f1 --as seconds=ignore
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0, or 2 for bad input, told in one line."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        _audit(chosen)
    except UserError as error:
        print(f"legalrr audit: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legalrr audit",
        description="Find the confusion matrices that can have given the rates of a published table; say which "
        "captions do not hold, what the figures are instead, and what a paired test of two cells could say at best.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("tables", nargs="+", type=Path, metavar="TABLE", help="CSV file of printed rates")
    add("--n", action="append", default=[], metavar="[DATASET=]N", help="cases (default: the table's, else searched)")
    add("--positives", action="append", default=[], metavar="[DATASET=]N", help="of these, of the positive class")
    add(
        "--unanswered",
        action="append",
        default=[],
        metavar="[DATASET=]N",
        help="of these, without an answer and counted as misses; any: nobody knows how many (default: 0)",
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
        help="what a metric's name means; or ignore",
    )
    add(
        "--scale",
        choices=("percent", "fraction"),
        help="of all figures (default: percent in a column with one above 1)",
    )
    add(
        "--rounding",
        choices=("nearest", "truncated", "either"),
        default="nearest",
        help="how figures were rounded (default: nearest; a tie may go up or down)",
    )
    add("--claims", type=Path, metavar="CSV", help="differences that the text claims (default: TABLE's .claims.csv)")
    add("--reference", default="none", metavar="ARM", help="components of the arm to compare with (default: none)")
    add("--max-n", type=int, default=100, metavar="N", help="up to which n to search where none is said (default: 100)")
    add("--out", type=Path, metavar="DIR", help="write audit.md, audit.csv and audit_pairs.csv into this folder")
    add("--quiet", action="store_true", help="print the paths of the files only")
    return parser


def _audit(chosen: argparse.Namespace) -> None:
    from legalrr.audit.audit import Settings, audit
    from legalrr.audit.console import show
    from legalrr.audit.output import write
    from legalrr.audit.sizes import Sizes

    if chosen.max_n < 2:
        raise UserError(f"{chosen.max_n} cases", where="--max-n", cure="at least 2")
    sizes = {
        name: _by_dataset(f"--{name}", getattr(chosen, name), unknown="any" if name == "unanswered" else None)
        for name in ("n", "positives", "unanswered", "runs")
    }
    found = audit(
        chosen.tables,
        claims=chosen.claims,
        settings=Settings(
            sizes=Sizes(**sizes),
            names=dict(_named(text) for text in chosen.names),
            rounding=chosen.rounding,
            scale=chosen.scale,
            reference=chosen.reference,
            most=chosen.max_n,
        ),
    )
    if not chosen.quiet:
        show(found)
    for path in write(found, chosen.out) if chosen.out else ():
        print(path)


def _by_dataset(option: str, texts: Sequence[str], *, unknown: str | None) -> Mapping[str, int | None]:
    """[DATASET=]N, any number of times, as dataset -> number."""
    said: dict[str, int | None] = {}
    for text in texts:
        dataset, _, number = text.rpartition("=")
        if number == unknown:
            said[dataset] = None
        elif re.fullmatch(r"\d+", number) and (int(number) or option in ("--positives", "--unanswered")):
            said[dataset] = int(number)
        else:
            raise UserError(f"{text!r} is no number", where=option, cure=f"such as {option} 44 or {option} test=44")
    return said


def _named(text: str) -> tuple[str, str]:
    name, mark, rate = text.rpartition("=")
    if not mark or not name or not rate:
        raise UserError(f"{text!r} names no rate", where="--as", cure="such as --as f1=macro_f1")
    return name, rate


if __name__ == "__main__":
    sys.exit(main())
