"""The command `legalrr report`: tables and figure of run folders, computed anew from their predictions."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from legalrr.errors import UserError
from legalrr.score.cases import INVALID_POLICIES
from legalrr.verdict import READINGS

EPILOG = """\
files written: results.csv (a row per cell, every column), results.md and results.tex (to be read), pairs.csv (each cell
against the reference arm), macro_f1.svg (forest plot, where there is a score), report.html (all of it and every
judgment, prompt and answer, as one page without outside resources); where there is something to say also
repeats.csv (runs of one experiment), readings.csv (two readings of the answers), explanations.csv (legalrr explain)

examples:
  legalrr report runs/sweep/2025-01-31_12-00-00
  legalrr report runs/sweep/* --out runs/joint     several sweeps in one table, in the order of their paths
  legalrr report runs/sweep/2025-01-31_12-00-00 --reading study       beside it, as the study's code reads answers
  legalrr report runs/sweep/2025-01-31_12-00-00 --reading strict      an old run, by this version of the reader too
  legalrr report runs/sweep/2025-01-31_12-00-00 --invalid common      only judgments that all arms answered
  legalrr report runs/sweep/* --table prediction --format latex > prediction.tex
  legalrr report runs/sweep/* --table prediction --against published     the study's printed figures beside ours
  legalrr report runs/sweep/2025-01-31_12-00-00 --texts 200     a larger page, with the texts of more judgments
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; raises UserError for bad input."""
    parser = argparse.ArgumentParser(
        prog="legalrr report",
        description="Rebuild tables and figure of sweeps and single runs from their predictions, and print them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folder of a sweep or of a single run")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write one joint set of tables into this folder (default: a set next to the cells of each DIR; with "
        "--reading or --invalid in a folder there that is named after them)",
    )
    parser.add_argument(
        "--reading",
        choices=READINGS,
        help="read the answers in this way too, and show both readings side by side, with how many answers are read "
        "anew; where an earlier version of the reader read them so, by this one; no model is asked",
    )
    parser.add_argument(
        "--invalid",
        choices=tuple(INVALID_POLICIES),
        default="miss",
        help="invalid answers: "
        + "; ".join(f"{name}: {meaning}" for name, meaning in INVALID_POLICIES.items())
        + " (default: miss)",
    )
    paper = parser.add_argument_group("tables for papers", "one joint table of all DIRs in the study's layout")
    paper.add_argument(
        "--table",
        choices=("prediction", "explanation", "effects"),
        help="print this table alone (with --out: write it into that folder)",
    )
    paper.add_argument("--format", choices=("markdown", "latex", "csv"), default="markdown", help="default: markdown")
    paper.add_argument(
        "--against",
        choices=("published",),
        help="beside it the figures printed in arXiv 2511.20669, with the intervals that their n allows",
    )
    parser.add_argument(
        "--texts",
        type=float,
        metavar="MB",
        help="megabytes of prompts and answers in report.html, judgments on which arms disagree first "
        "(default: 12; 0: none)",
    )
    parser.add_argument("--quiet", action="store_true", help="print the paths of the files only")
    chosen = parser.parse_args(arguments)
    if chosen.table is not None:
        _table(sorted(set(chosen.folders)), chosen)
        return
    if chosen.against is not None:
        raise UserError("no table to set figures beside", where="--against", cure="name one with --table")
    _report(
        sorted(set(chosen.folders)),
        chosen.out,
        reading=chosen.reading,
        invalid=chosen.invalid,
        texts=chosen.texts,
        quiet=chosen.quiet,
    )


def _table(folders: list[Path], chosen: argparse.Namespace) -> None:
    from legalrr.report.compare import read_report
    from legalrr.report.paper_table import FORMATS
    from legalrr.report.study import TABLES
    from legalrr.store import make_folder, write_atomically

    report = read_report(folders, reading=chosen.reading, invalid=chosen.invalid)
    sheet = TABLES[chosen.table](report, against=chosen.against is not None)
    ending, write = FORMATS[chosen.format]
    if chosen.out is None:
        print(write(sheet), end="")
        return
    make_folder(chosen.out)
    path = chosen.out / f"{chosen.table}.{ending}"
    write_atomically(path, write(sheet))
    print(path)


def _report(
    folders: list[Path], out: Path | None, *, reading: str | None, invalid: str, texts: float | None, quiet: bool
) -> None:
    from legalrr.report.compare import read_report
    from legalrr.report.sweep import show_report, write_page, write_report

    if texts is not None and not 0 <= texts < math.inf:
        raise UserError(f"{texts} megabytes", where="--texts", cure="give 0 or more")
    # The tables next to the cells are those of the headline rule; others get a folder of their own.
    told = [f"reading-{reading}"] * (reading is not None) + [f"invalid-{invalid}"] * (invalid != "miss")
    place = "-".join(told)
    sets = [(folders, out)] if out is not None else [([folder], folder / place) for folder in folders]
    for sources, target in sets:
        report = read_report(sources, reading=reading, invalid=invalid)
        paths = [*write_report(report, target), write_page(report, sources, target, megabytes=texts)]
        if not quiet:
            show_report(report)
        for path in paths:
            print(path)
