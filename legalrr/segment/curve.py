"""Learning curve of a tagger: its cross-validated scores by the number of judgments that it is trained on."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from legalrr.errors import UserError
from legalrr.segment.training import AVERAGES, Evaluation
from legalrr.tables import Table

SALT = "legalrr"
"""Fixed, so that the ids in the file, and with them its bytes, are the same every time."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """What cross-validation found where each fold trained on a share of its judgments."""

    share: float
    """The share."""
    judgments: float
    """How many judgments that is, mean over folds."""
    mean: dict[str, float]
    """Average (micro, macro, weighted) -> F1, mean over folds."""
    sd: dict[str, float]
    """Average -> standard deviation over folds."""


def point(share: float, found: Evaluation) -> Point:
    """An evaluation as a point of the curve."""
    return Point(
        share=share,
        judgments=found.trained_on,
        mean={average: found.scores[average]["mean"] for average in AVERAGES},
        sd={average: found.scores[average]["sd"] for average in AVERAGES},
    )


def shares_of(text: str) -> tuple[float, ...]:
    """Shares such as `0.25,0.5,1`, ascending; raises UserError for anything else, or a share that is not in (0, 1]."""
    try:
        shares = tuple(sorted({float(part) for part in text.split(",")}))
    except ValueError as error:
        raise UserError(f"{text!r}", where="--shares", cure="give numbers, such as 0.25,0.5,1") from error
    if not all(0 < share <= 1 for share in shares):
        raise UserError(f"{text!r}", where="--shares", cure="more than 0, and 1 at most")
    return shares


def curve_csv(points: Sequence[Point]) -> str:
    """The points as CSV, a row each."""
    rows = []
    for one in points:
        figures = (value for average in AVERAGES for value in (one.mean[average], one.sd[average]))
        rows.append((f"{one.share:g}", f"{one.judgments:.1f}", *(f"{value:.4f}" for value in figures)))
    header = ("share", "judgments", *(f"{average}_{what}" for average in AVERAGES for what in ("mean", "sd")))
    return Table(header=header, rows=tuple(rows)).csv()


def curve_svg(points: Sequence[Point], *, title: str) -> str:
    """The curve as SVG text: micro-F1 and macro-F1 by judgments (logarithmic), with a standard deviation on each side.

    Args:
        points: at least one.
        title: what was scored.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": SALT, "font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=(6.0, 4.0), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        at = [one.judgments for one in points]
        for average, mark in (("micro", "o"), ("macro", "s")):
            means, sds = [one.mean[average] for one in points], [one.sd[average] for one in points]
            axes.errorbar(at, means, yerr=sds, marker=mark, capsize=3, label=f"{average}-F1")
        axes.set_xscale("log", base=2)
        axes.set_xticks(at, [f"{count:.0f}" for count in at])
        axes.minorticks_off()
        axes.set_xlabel("judgments trained on")
        axes.set_ylabel("F1, mean over folds")
        axes.set_title(title)
        axes.grid(alpha=0.3)
        axes.legend()
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
