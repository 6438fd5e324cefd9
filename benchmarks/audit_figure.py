"""Draw the differences in the study's published tables, with the confidence intervals of their numbers of cases.

A point is the difference in accuracy to the arm `none`, from the confusion matrices that the audit found
(docs/audit_pairs.csv). The answers to single cases are not published, so b (correct only with the arm) and c (correct
only without) are as small as the matrices permit. The interval of (b - c) / n is exact: Clopper-Pearson intervals of
b / n and c / n at 97.5 % each, so that both hold in at least 95 of 100 samples. Cells without paired answers (means
over runs, subsets of different cases) have no difference.

python benchmarks/audit_figure.py [--out docs/audit_differences.svg]
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
ARMS = ("D", "R", "C", "D+R", "D+C", "R+C", "D+R+C")
LEVEL = 0.975
"""Level of each of the two intervals; by Bonferroni's inequality both hold with probability 0.95."""
SIZE_INCHES = (8.0, 4.6)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One arm against `none`, on the same cases."""

    dataset: str
    model: str
    arm: str
    n: int
    b: int
    """Cases correct only with the arm."""
    c: int
    """Cases correct only without it."""
    least_p: float
    """Smallest p of McNemar's test and the permutation test over all pairings of the answers."""

    @property
    def value(self) -> float:
        """Difference in accuracy, in points."""
        return 100 * (self.b - self.c) / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Exact 95 % interval, in points."""
        return exact_interval(self.b, self.c, self.n)


def exact_interval(b: int, c: int, n: int) -> tuple[float, float]:
    """Compute bounds of (b - c) / n in points, with coverage of at least 95 %."""
    from scipy.stats import binomtest

    gained, lost = (binomtest(count, n).proportion_ci(LEVEL, method="exact") for count in (b, c))
    return 100 * (gained.low - lost.high), 100 * (gained.high - lost.low)


def read_differences(file: Path) -> list[Difference]:
    """Read the differences with known matrices, in the order of the table."""
    with file.open(encoding="utf-8", newline="") as lines:
        return [
            Difference(
                dataset=row["dataset"],
                model=row["model"],
                arm=row["components"],
                n=int(row["n"]),
                b=int(row["b"]),
                c=int(row["c"]),
                least_p=min(float(row["p_mcnemar_least"]), float(row["p_permutation_least"])),
            )
            for row in csv.DictReader(lines)
            if not row["reason"]
        ]


def draw(found: Sequence[Difference], file: Path) -> None:
    """Draw a panel per data set and model."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    datasets, models = (
        list(dict.fromkeys(names)) for names in zip(*((d.dataset, d.model) for d in found), strict=True)
    )
    with mpl.rc_context({"svg.hashsalt": "audit_differences", "font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        panels = figure.subplots(len(datasets), len(models), sharex=True, sharey=True, squeeze=False)
        for dataset, row in zip(datasets, panels, strict=True):
            for model, axes in zip(models, row, strict=True):
                here = [one for one in found if (one.dataset, one.model) == (dataset, model)]
                for one in here:
                    place = ARMS.index(one.arm)
                    axes.hlines(place, *one.interval, color="#1f4e79", linewidth=1.6)
                    axes.plot([one.value], [place], marker="o", markersize=4, color="#1f4e79")
                axes.axvline(0, color="#b22222", linewidth=1)
                axes.set_title(f"{dataset}, {model}, {here[0].n} cases", loc="left", fontsize=9)
                axes.set_yticks(range(len(ARMS)), ARMS)
                axes.set_ylim(len(ARMS) - 0.5, -0.5)
                axes.grid(axis="x", color="#dddddd", linewidth=0.6)
                axes.set_axisbelow(True)
                axes.spines[["top", "right"]].set_visible(False)
        figure.supxlabel("difference in accuracy to the arm none, in points, with its exact 95 % interval", fontsize=9)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the figure and print a summary."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--pairs", type=Path, default=DOCS / "audit_pairs.csv", help="CSV of differences, by legalrr audit"
    )
    parser.add_argument("--out", type=Path, default=DOCS / "audit_differences.svg", metavar="FILE.svg")
    options = parser.parse_args(arguments)
    found = read_differences(options.pairs)
    draw(found, options.out)
    holds = sum(one.interval[0] <= 0 <= one.interval[1] for one in found)
    print(f"{len(found)} differences; {holds} intervals contain 0; smallest p {min(one.least_p for one in found):.3f}")


if __name__ == "__main__":
    main()
