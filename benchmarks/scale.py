"""Time, memory and disk space of a sweep by the number of judgments: eight arms, roles by the CRF, backbone echo.

    python benchmarks/scale.py                             # 1,000 and 10,000 judgments
    python benchmarks/scale.py --judgments 100000 --words 150         # an hour and a half, 15 GB of disk
    python benchmarks/scale.py --judgments 100,1000,10000,100000 --json scale.json --plot scale.svg
    python benchmarks/scale.py --from scale.json --plot scale.svg       # the figure of figures measured before

Each run has a process of its own: the first one with an empty store, the second one with all results stored. Answers
have the length of those of the quickstart. The time
of Python's imports and of the report is not part of it, and intervals have few resamples, as neither depends on the
number of judgments. A judgment has the words of the corpus specimen in an order of its own, so that no two are alike.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from legalrr.corpora.catalogue import card
from legalrr.records import OUTCOMES

RUNS = ("first", "second")
TOKENS = {"analysis": 40, "ratio": 24, "ruling": 24, "answer": 8}
ARMS = ("plain", "d", "r", "c", "dr", "dc", "rc", "drc")


def write_corpus(file: Path, judgments: int, words: int) -> None:
    """Write a table of synthetic judgments; the first ones of a longer table are the same."""
    corpus = card("specimen").reader()
    assert corpus is not None
    sentences = [sentence.split() for one in corpus.read(None) for sentence in one.text.split("\n") if sentence.strip()]
    with file.open("w", encoding="utf-8") as lines:
        for number in range(judgments):
            draw = random.Random(number)
            text: list[str] = []
            length = 0
            while length < words:
                sentence = list(draw.choice(sentences))
                draw.shuffle(sentence)
                length += len(sentence)
                text.append(" ".join(sentence))
            row = {"id": f"case-{number:06d}", "text": "\n".join(text), "label": OUTCOMES.index(draw.choice(OUTCOMES))}
            lines.write(json.dumps(row) + "\n")


def measure(folder: Path, run: str) -> dict[str, float]:
    """Run the sweep on the corpus of a folder; return seconds and peak memory in MB."""
    from legalrr.configuration import compose
    from legalrr.key_set import Keys
    from legalrr.run.cell import run_cell
    from legalrr.run.pipeline import PreparationCache, build_pipeline
    from legalrr.run.prefetch import prefetch
    from legalrr.stage import identity

    options = ["corpus=own_table", f"corpus.file={folder / 'corpus.jsonl'}", "segment=crf", "backbone=echo"]
    options += ["score.resamples=99", "score.permutations=99", f"runs={folder / 'runs'}"]
    # The answers of the quickstart.
    options += [f"annotate.tokens.{name}={most}" for name, most in TOKENS.items()]
    pipelines = [build_pipeline(compose(overrides=[*options, f"arm={arm}"])) for arm in ARMS]
    started, used = time.perf_counter(), time.process_time()
    prepared = PreparationCache()
    fresh: dict[str, Keys] = {}
    prefetch(pipelines, fresh, prepared)
    prefetched = time.perf_counter()
    for number, pipeline in enumerate(pipelines):
        known = fresh[identity(pipeline.backbone)]
        run_cell(pipeline, folder / run / str(number), known, prepared, sweep=folder / run)
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    busy = time.process_time() - used
    return {"prefetch": prefetched - started, "cells": ended - prefetched, "CPU": busy, "MB": peak}


def in_process(folder: Path, run: str) -> dict[str, float]:
    """Return what `measure` does in a new process."""
    command = [sys.executable, __file__, "--measure", run, "--folder", str(folder)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def measure_sizes(sizes: Sequence[int], words: int) -> list[dict[str, Any]]:
    """Measure both runs of each size, print a table, and return its rows."""
    titles = ("judgments", "run", "prefetch", "cells", "each", "CPU each", "peak", "folders each")
    widths = (10, 8, 11, 11, 12, 12, 10, 14)
    print("".join(f"{title:>{width}}" for title, width in zip(titles, widths, strict=True)))
    rows: list[dict[str, Any]] = []
    for count in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_corpus(folder / "corpus.jsonl", count, words)
            first = 0.0
            for run in RUNS:
                found = in_process(folder, run)
                size = sum(path.stat().st_size for path in (folder / run).rglob("*") if path.is_file())
                rows.append({"judgments": count, "words": words, "run": run, **found, "bytes": size})
                values = (
                    f"{count:,}",
                    run,
                    *(f"{found[name]:.1f} s" for name in ("prefetch", "cells")),
                    *(f"{1e3 * one / count:.1f} ms" for one in (found["prefetch"] + found["cells"], found["CPU"])),
                    f"{found['MB']:.0f} MB",
                    f"{size / count / 1e3:.0f} kB",
                )
                line = "".join(f"{value:>{width}}" for value, width in zip(values, widths, strict=True))
                print(line + (f"   {first / found['CPU']:.1f} times less CPU" if first else ""), flush=True)
                first = found["CPU"]
    return rows


def plot(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Plot CPU time per judgment and peak memory against the number of judgments."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "scale", "svg.fonttype": "path"}):
        figure = Figure(figsize=(7.0, 3.0), layout="constrained")
        times, memory = figure.subplots(1, 2)
        for run, style in zip(RUNS, ("-", "--"), strict=True):
            some = sorted((row for row in rows if row["run"] == run), key=lambda row: row["judgments"])
            sizes = [row["judgments"] for row in some]
            times.plot(sizes, [1e3 * row["CPU"] / row["judgments"] for row in some], style, marker="o", label=run)
            memory.plot(sizes, [row["MB"] for row in some], style, marker="o", label=run)
        for axes, label in ((times, "milliseconds of CPU per judgment"), (memory, "peak memory in MB")):
            axes.set(xscale="log", xlabel="judgments", ylabel=label, ylim=(0, None))
            axes.spines[["top", "right"]].set_visible(False)
        times.legend(title="run", frameon=False)
        figure.savefig(file, metadata={"Date": None})


def main() -> None:
    """Measure, and print or draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judgments", default="1000,10000", help="numbers of judgments, with commas")
    parser.add_argument("--words", type=int, default=600, help="words per judgment (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE.json", help="file for the figures")
    parser.add_argument("--from", dest="given", type=Path, metavar="FILE.json", help="draw these, without measuring")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="file for the plot")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.folder, options.measure)))
        return
    if options.given:
        rows = json.loads(options.given.read_text("utf-8"))
    else:
        rows = measure_sizes([int(size) for size in options.judgments.split(",")], options.words)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
