"""Measure the time to write and open report.html, and its size, for 50 cells of 3,000 judgments.

The sweep is synthetic (`benchmarks/synthetic.py`). "read" is common to all reports: read the predictions, score and
compare. "page" is the additional time of report.html. "interactive" is the time from opening the file until the table
can be sorted, in Chromium if it is installed, with its driver and selenium.

make bench
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from chromium import chromium, missing, open_page
from synthetic import Shape, write_sweep

from legalrr.report.compare import read_report
from legalrr.report.html.page import MEGABYTES
from legalrr.report.sweep import write_page

SECONDS, OPENED, LARGEST = 20.0, 2.0, 30.0
"""Limits on two idle cores: seconds to write the page, seconds to open it, megabytes."""


def interactive(page: Path) -> float | None:
    """Return the seconds from opening the page until it is interactive; None without a browser."""
    if missing():
        return None
    with chromium() as driver:
        return open_page(driver, page)


def main() -> None:
    """Print the measurements; exit with status 1 if one exceeds its limit."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--judgments", type=int, default=Shape.judgments, help="judgments per cell (default 3000)")
    parser.add_argument("--words", type=int, default=Shape.words, help="words of a judgment (default 600)")
    parser.add_argument("--texts", type=float, default=MEGABYTES, help="megabytes of prompts and answers (default 12)")
    parser.add_argument("--sweep", type=Path, help="folder of a sweep to measure, instead of a synthetic one")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.sweep or Path(scratch) / "sweep"
        if chosen.sweep is None:
            write_sweep(folder, Shape(judgments=chosen.judgments, words=chosen.words))
        began = time.perf_counter()
        report = read_report([folder])
        read = time.perf_counter()
        page = write_page(report, [folder], Path(scratch), megabytes=chosen.texts)
        written = time.perf_counter()
        size = page.stat().st_size / 1e6
        opened = interactive(page)
    judgments = max((len(cell.answers.cases) for cell in report.cells if cell.answers), default=0)
    print(f"{len(report.cells)} cells, {judgments} judgments")
    print(f"{'read':<14}{read - began:>9.1f} s")
    print(f"{'page':<14}{written - read:>9.1f} s")
    print(f"{'size':<14}{size:>9.1f} MB")
    print(f"{'interactive':<14}" + (f"  {missing()}" if opened is None else f"{opened:>9.2f} s"))
    if written - read > SECONDS or size > LARGEST or (opened or 0) > OPENED:
        sys.exit(f"report.html may take {SECONDS:.0f} s, {LARGEST:.0f} MB, and {OPENED:.0f} s to open")


if __name__ == "__main__":
    main()
