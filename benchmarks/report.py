"""Measure the time, the memory and the size of a report.

The sweep is synthetic (`benchmarks/synthetic.py`). "read" is common to all reports: read the predictions, score and
compare. "page" is the additional time of report.html. "interactive" is the time from opening the file until the table
can be sorted, in Chromium if it is installed, with its driver and selenium.

    python benchmarks/report.py
    python benchmarks/report.py --judgments 1000,10000,100000 --arms 8 --words 100

The first form measures 50 cells of 3,000 judgments. The second is for the growth with the number of judgments, of one
backbone: each number is written, and then read, in a process of its own, whose peak memory is that of all it has
resident, Python and numpy included. The last columns are per judgment, as ratios to the first number.

make bench
"""

import argparse
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from chromium import chromium, missing, open_page
from synthetic import Shape, write_sweep

SECONDS, OPENED, LARGEST, PEAK = 20.0, 2.0, 30.0, 1000.0
"""Limits: seconds to write the page and to open it on two idle cores, for 50 cells of 3,000 judgments; megabytes of the
page and of memory, for any number of judgments."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Cost of a report."""

    cells: int
    """Cells read."""
    read: float
    """Seconds to read, score and compare."""
    page: float
    """Seconds to write report.html."""
    peak: float
    """Peak resident memory of the process in megabytes."""
    size: float
    """Size of report.html in megabytes."""


def interactive(page: Path) -> float | None:
    """Return the seconds from opening the page until it is interactive; None without a browser."""
    if missing():
        return None
    with chromium() as driver:
        return open_page(driver, page)


def measure(folder: Path, out: Path, megabytes: float | None) -> Measured:
    """Write the tables and the page of a sweep to a folder, and measure this process."""
    from legalrr.report.compare import read_report
    from legalrr.report.html.sample import TextSample
    from legalrr.report.sweep import write_page, write_report

    began = time.perf_counter()
    report = read_report([folder])
    write_report(report, out)
    read = time.perf_counter()
    sample = TextSample() if megabytes is None else TextSample(megabytes=megabytes, judgments=None)
    page = write_page(report, [folder], out, sample=sample)
    written = time.perf_counter()
    return Measured(
        cells=len(report.cells),
        read=read - began,
        page=written - read,
        peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6,
        size=page.stat().st_size / 1e6,
    )


def main() -> None:
    """Print the measurements; exit with status 1 if one exceeds its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judgments", default=str(Shape.judgments), help="judgments per cell (default %(default)s)")
    parser.add_argument("--arms", type=int, help="arms of one backbone (default: 10 arms of 5 backbones)")
    parser.add_argument("--words", type=int, default=Shape.words, help="words of a judgment (default %(default)s)")
    parser.add_argument("--texts", type=float, help="megabytes of prompts and answers (default: that of the report)")
    parser.add_argument("--sweep", type=Path, help="folder of a sweep to measure, instead of a synthetic one")
    chosen = parser.parse_args()
    numbers = [0] if chosen.sweep else [int(number) for number in chosen.judgments.split(",")]
    print(f"{'judgments':>10}{'cells':>7}{'read, s':>10}{'page, s':>10}{'peak, MB':>10}{'page, MB':>10}", end="")
    print(f"{'interactive, s':>16}{'seconds, ratio':>16}{'memory, ratio':>15}")
    first: tuple[int, Measured] | None = None
    slow = False
    for number in numbers:
        with tempfile.TemporaryDirectory() as scratch:
            folder = chosen.sweep or Path(scratch) / "sweep"
            if chosen.sweep is None:
                backbones = Shape.backbones if chosen.arms is None else 1
                shape = Shape(judgments=number, words=chosen.words, backbones=backbones, arms=chosen.arms or Shape.arms)
                with get_context("spawn").Pool(1) as pool:
                    pool.apply(write_sweep, (folder, shape))
            out = Path(scratch) / "out"
            # A new process for the measurement: an old one may keep freed memory.
            with get_context("spawn").Pool(1) as pool:
                found = pool.apply(measure, (folder, out, chosen.texts))
            opened = interactive(out / "report.html")
        print(f"{number or '':>10}{found.cells:>7}{found.read:>10.1f}{found.page:>10.1f}{found.peak:>10.0f}", end="")
        print(f"{found.size:>10.1f}{'' if opened is None else f'{opened:.2f}':>16}", end="")
        first = first or (number, found)
        share = number / first[0] if first[0] else 1.0
        seconds, memory = (found.read + found.page) / (first[1].read + first[1].page), found.peak / first[1].peak
        print(f"{seconds / share:>16.2f}{memory / share:>15.2f}", flush=True)
        timed = number == Shape.judgments and chosen.arms is None
        slow |= found.size > LARGEST or found.peak > PEAK
        slow |= timed and (found.page > SECONDS or (opened or 0) > OPENED)
    if missing():
        print(missing())
    if slow:
        sys.exit(
            f"report.html may take {LARGEST:.0f} MB and {PEAK:.0f} MB of memory; of 50 cells of 3,000 judgments, "
            f"{SECONDS:.0f} s, and {OPENED:.0f} s to open"
        )


if __name__ == "__main__":
    main()
