"""Compare the time that `legalrr plan` predicts with that of the run, on this machine.

    python benchmarks/plan.py [--trial 1] experiment=paper corpus=lawai50 backbone=smollm2 limit=4

The plan calibrates the model for half a minute; then the calls of all cells are made, in a folder that is removed
afterwards. The ratios are predicted / measured seconds:

- expected: with answers as long as sampled ones, or those of a trial run (--trial: its number of judgments);
- at most: with every answer at its limit;
- known lengths: with the lengths of the answers that the run wrote, so that only the speed is predicted.

On a machine that does nothing else, known lengths and, after a trial, expected should lie within 0.75 and 1.25. --cpu
compares the time of the processor instead, which other programs disturb less (with OMP_NUM_THREADS=1, for a model on
the CPU).

    python benchmarks/plan.py --cluster workers=2,machine=2 experiment=paper limit=16 workers=ray workers.count=2

compares the time of workers, whose start is part of what is measured, so that the run should take minutes.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from tempfile import TemporaryDirectory

from omegaconf import OmegaConf

from legalrr.configuration import compose_cells
from legalrr.plan.cells import Cells
from legalrr.plan.cli import read_cluster
from legalrr.plan.duration import Cluster, Options, duration
from legalrr.plan.plan import walk_group
from legalrr.run.pipeline import build_pipeline
from legalrr.run.prefetch import prefetch


def main() -> None:
    """Plan, run and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", metavar="OPTION=VALUE", help="as for legalrr; at least two cells")
    parser.add_argument("--trial", type=int, default=0, metavar="N", help="run N judgments first (default 0)")
    parser.add_argument("--cluster", type=read_cluster, help="as for legalrr plan; the overrides have workers=ray")
    parser.add_argument("--cpu", action="store_true", help="compare processor time instead of time")
    options = parser.parse_args()
    clock = time.process_time if options.cpu else time.perf_counter
    with TemporaryDirectory() as folder:
        overrides = [*options.overrides, f"runs={folder}"]
        if options.trial:
            run([*overrides, f"limit={options.trial}"], clock)
        plan(overrides, clock, options.cluster)


def plan(overrides: Sequence[str], clock: Callable[[], float], cluster: Cluster | None) -> None:
    """Predict and measure the seconds of the calls of an experiment with one backbone."""
    cells = Cells([config for _, config in compose_cells(overrides)])
    group = next(cells.groups())
    walk, walked, _ = walk_group(group)
    found = duration(group, walk, walked, Options(clock=clock, cluster=cluster), thoughts=0)
    if found is None or found.speed is None:
        raise SystemExit("nothing to calibrate")
    made = sum(len(step) for one in walked for step in one.steps)
    print(f"{made} calls; {found.speed}; {found.sampled} known answers")
    seconds = run(overrides, clock)
    print(f"measured {seconds:.1f} s")
    known, _, _ = walk_group(group)
    known.samples += walk.samples
    of_workers = None if found.cluster is None else found.cluster.speed
    options = Options(speed=found.speed, cluster=cluster, cluster_speed=of_workers)
    again = duration(group, known, walked, options, thoughts=0)
    assert again is not None
    expected, certain = (
        (found, again) if found.cluster is None or again.cluster is None else (found.cluster, again.cluster)
    )
    if found.cluster is not None:
        print(f"{found.cluster.workers} workers: {of_workers}")
    for name, whole in (
        ("expected", expected.expected),
        ("at most", expected.most),
        ("known lengths", certain.expected),
    ):
        # The calibration has loaded the model; workers load it.
        predicted = whole - (0.0 if cluster else found.speed.load)
        print(f"{name:<14}{predicted:8.1f} s  ratio {predicted / seconds:.2f}")


def run(overrides: Sequence[str], clock: Callable[[], float]) -> float:
    """Make the calls of all cells; return the seconds."""
    pipelines = [
        build_pipeline(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))
        for _, config in compose_cells(overrides)
    ]
    started = clock()
    prefetch(pipelines, {})
    return clock() - started


if __name__ == "__main__":
    main()
