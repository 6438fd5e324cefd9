"""Forest plot of macro-F1: a panel per group, a line per arm with its interval, chance and majority as uprights.

The two uprights follow from the class balance alone, as ratios of expected counts, with a = gold allowed / n:

    majority   the larger class always:    F1 = 2 m / (1 + m) for it, 0 for the other; m = max(a, 1 - a)
    coin       YES with probability 1/2:   F1(class) = s / (s + 1/2) for a class of share s
"""

import io
from typing import TYPE_CHECKING

from legalrr.report.groups import Group, Report, Row
from legalrr.report.views import apart, name, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SALT = "legalrr"
"""Fixed, so that the ids in the file, and with them its bytes, are the same every time."""
COLOURS = {"arm": "#1f4e79", "baseline": "#777777", "probe": "#a05a00"}
REFERENCE = "#b22222"
LINE_INCHES, HEAD_INCHES, WIDTH_INCHES, PAD_INCHES = 0.3, 1.15, 8.0, 0.12


def forest_svg(report: Report) -> str:
    """The plot as SVG text; the same report gives the same bytes. Needs at least one group."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    heights = [HEAD_INCHES + LINE_INCHES * len(group.rows) for group in report.groups]
    with rc_context({"svg.hashsalt": SALT, "font.family": "DejaVu Sans", "font.size": 10}):
        figure = Figure(figsize=(WIDTH_INCHES, sum(heights)))
        FigureCanvasSVG(figure)
        figure.set_layout_engine("constrained", h_pad=PAD_INCHES)
        panels = figure.subplots(len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
        for axes, group in zip(panels, report.groups, strict=True):
            _panel(axes, group, _heading(group, report))
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def chance(row: Row) -> float:
    """Macro-F1 of answering by the toss of a coin."""
    shares = _shares(row)
    return sum(share / (share + 0.5) for share in shares) / 2


def majority(row: Row) -> float:
    """Macro-F1 of always answering the more frequent outcome."""
    larger = max(_shares(row))
    return larger / (1 + larger)


def _shares(row: Row) -> tuple[float, float]:
    allowed = sum(row.scores.confusion["allowed"].values()) / row.scores.n
    return allowed, 1 - allowed


def _panel(axes: "Axes", group: Group, heading: str) -> None:
    for place, row in enumerate(group.rows):
        colour = REFERENCE if row.is_reference else COLOURS.get(row.setup.family, COLOURS["arm"])
        if row.scores.interval is not None:
            axes.hlines(place, *row.scores.interval, color=colour, linewidth=2)
        marker = "D" if row.is_reference else "o" if row.setup.family == "arm" else "s"
        axes.plot([row.scores.macro_f1 or 0.0], [place], marker=marker, markersize=6, color=colour)
    first = group.rows[0]
    axes.axvline(chance(first), color="#444444", linewidth=1, linestyle=":", label=f"coin {chance(first):.2f}")
    axes.axvline(majority(first), color="#444444", linewidth=1, linestyle="--", label=f"majority {majority(first):.2f}")
    axes.set_yticks(range(len(group.rows)), [name(row) for row in group.rows])
    axes.set_ylim(len(group.rows) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"Macro-F1 with {first.cell.scorer.confidence:.0%} interval, n = {first.scores.n}")
    axes.set_title(heading, loc="left", fontsize=11)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)


def _heading(group: Group, report: Report) -> str:
    setup = group.setup
    parts = (title(group), setup.layout, setup.reading, apart(group, report))
    return ", ".join(part for part in parts if part)
