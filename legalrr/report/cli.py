"""Command `legalrr report`: rebuild tables, figures and page of run folders from their predictions."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from legalrr.errors import UserError
from legalrr.report.html.sample import TextSample
from legalrr.score.cases import INVALID_POLICIES
from legalrr.verdict import READINGS

EPILOG = """\
files written: results.csv (a row per cell, all columns), results.md and results.tex (for reading), pairs.csv (each cell
against the reference arm), macro_f1.svg (forest plot, if there are scores), report.html (all of these with every
judgment, and the prompts and answers of a sample, as one page without external resources); and, if the runs have data
for them, repeats.csv (repeated runs), readings.csv (two readings of the answers), explanations.csv (legalrr explain)

examples:
  legalrr report runs/sweep/2025-01-31_12-00-00
  legalrr report runs/sweep/* --out runs/joint     several sweeps in one table, in the order of their paths
  legalrr report runs/sweep/2025-01-31_12-00-00 --reading study       also as the study's code reads answers
  legalrr report runs/sweep/2025-01-31_12-00-00 --reading strict      an old run, also with the current reader version
  legalrr report runs/sweep/2025-01-31_12-00-00 --invalid common      only judgments that all arms answered
  legalrr report runs/sweep/* --table prediction --format latex > prediction.tex
  legalrr report runs/sweep/* --table prediction --against published     with the study's printed figures
  legalrr report runs/sweep/2025-01-31_12-00-00 --texts 200     a larger page, with the texts of more judgments
  legalrr report runs/sweep/2025-01-31_12-00-00 --sample 0 --id case-17     the prompts and answers on this one
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; raises UserError for invalid input."""
    parser = argparse.ArgumentParser(
        prog="legalrr report",
        description="Rebuild and print the tables, figures and page of sweeps and single runs from their predictions.",
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
        help="also read the answers in this way, and show both readings and the number of changed verdicts; answers "
        "read in this way by an earlier reader version are read again; makes no model calls",
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
        help="print only this table (with --out: write it into that folder)",
    )
    paper.add_argument("--format", choices=("markdown", "latex", "csv"), default="markdown", help="default: markdown")
    paper.add_argument(
        "--against",
        choices=("published",),
        help="add the figures printed in arXiv 2511.20669, with the intervals that their n allows",
    )
    parser.add_argument(
        "--texts",
        type=float,
        metavar="MB",
        help="megabytes of prompts and answers in report.html (default: 12; 0: none)",
    )
    parser.add_argument(
        "--sample",
        type=int,
        metavar="N",
        help="judgments with prompts and answers in report.html, of each kind in turn: with an invalid answer, with "
        f"answers that differ, all right, all wrong (default: {TextSample().judgments}; with --texts as many as fit, "
        "which are all in memory at once)",
    )
    parser.add_argument(
        "--id",
        action="append",
        default=[],
        metavar="ID",
        help="a judgment with prompts and answers in report.html, in addition to the sample; repeat for several",
    )
    parser.add_argument("--quiet", action="store_true", help="print only the paths of the files")
    chosen = parser.parse_args(arguments)
    if chosen.table is not None:
        _table(sorted(set(chosen.folders)), chosen)
        return
    if chosen.against is not None:
        raise UserError("needs a table", where="--against", cure="name one with --table")
    _report(
        sorted(set(chosen.folders)),
        chosen.out,
        reading=chosen.reading,
        invalid=chosen.invalid,
        sample=_sample(chosen.texts, chosen.sample, chosen.id),
        quiet=chosen.quiet,
    )


def _table(folders: list[Path], chosen: argparse.Namespace) -> None:
    from legalrr.files import make_folder, require_own, write_atomically
    from legalrr.report.compare import read_report
    from legalrr.report.paper_table import FORMATS
    from legalrr.report.study import TABLES

    report = read_report(folders, reading=chosen.reading, invalid=chosen.invalid)
    table = TABLES[chosen.table](report, against=chosen.against is not None)
    ending, write = FORMATS[chosen.format]
    if chosen.out is None:
        print(write(table), end="")
        return
    make_folder(chosen.out)
    path, text = chosen.out / f"{chosen.table}.{ending}", write(table)
    require_own(path, text[:20])
    write_atomically(path, text)
    print(path)


def _sample(megabytes: float | None, judgments: int | None, ids: Sequence[str]) -> TextSample:
    if megabytes is not None and not 0 <= megabytes < math.inf:
        raise UserError(f"{megabytes} megabytes", where="--texts", cure="give 0 or more")
    if judgments is not None and judgments < 0:
        raise UserError(f"{judgments} judgments", where="--sample", cure="give 0 or more")
    if ids and megabytes == 0:
        raise UserError("no room for the texts of --id", where="--texts", cure="leave it out, or give more than 0")
    default = TextSample(ids=tuple(dict.fromkeys(ids)))
    if megabytes is not None:
        default = replace(default, megabytes=megabytes, judgments=None)
    return default if judgments is None else replace(default, judgments=judgments)


def _report(
    folders: list[Path], out: Path | None, *, reading: str | None, invalid: str, sample: TextSample, quiet: bool
) -> None:
    from legalrr.files import require_own
    from legalrr.report.compare import read_report
    from legalrr.report.sweep import FILES, show_report, write_page, write_report

    if out is not None:
        require_own(out / FILES[0], "sweep,job,label,", [out / name for name in FILES[1:]])
    # Tables next to the cells use the default reading and policy; others get a separate folder.
    variant = [f"reading-{reading}"] * (reading is not None) + [f"invalid-{invalid}"] * (invalid != "miss")
    subfolder = "-".join(variant)
    sets = [(folders, out)] if out is not None else [([folder], folder / subfolder) for folder in folders]
    for sources, target in sets:
        report = read_report(sources, reading=reading, invalid=invalid)
        paths = [*write_report(report, target), write_page(report, sources, target, sample=sample)]
        if not quiet:
            show_report(report)
        for path in paths:
            print(path)
