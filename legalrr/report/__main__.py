"""The command `legalrr-report`: tables and figure of run folders, computed anew from their predictions."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from legalrr.errors import UserError

EPILOG = """\
files written: results.csv (a row per cell, every column), results.md and results.tex (to be read), pairs.csv (each cell
against the reference arm), macro_f1.svg (forest plot, where there is a score)

examples:
  legalrr-report runs/sweep/2025-01-31_12-00-00
  legalrr-report runs/sweep/* --out runs/joint     several sweeps in one table, in the order of their paths
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0, or 2 for bad input, told in one line."""
    parser = argparse.ArgumentParser(
        prog="legalrr-report",
        description="Rebuild tables and figure of sweeps and single runs from their predictions, and print them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folder of a sweep or of a single run")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write one joint set of tables into this folder (default: a set next to the cells of each DIR)",
    )
    parser.add_argument("--quiet", action="store_true", help="print the paths of the files only")
    chosen = parser.parse_args(arguments)
    try:
        _report(sorted(set(chosen.folders)), chosen.out, quiet=chosen.quiet)
    except UserError as error:
        print(f"legalrr-report: {error}", file=sys.stderr)
        return 2
    return 0


def _report(folders: list[Path], out: Path | None, *, quiet: bool) -> None:
    from legalrr.report.console import show_report
    from legalrr.report.groups import read_report
    from legalrr.report.sweep import write_report

    sets = [(folders, out)] if out is not None else [([folder], folder) for folder in folders]
    for sources, target in sets:
        report = read_report(sources)
        paths = write_report(report, target)
        if not quiet:
            show_report(report)
        for path in paths:
            print(path)


if __name__ == "__main__":
    sys.exit(main())
