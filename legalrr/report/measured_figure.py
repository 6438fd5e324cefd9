"""The figure of what was measured of backbones: perplexity, recall by distance, seconds and memory by length."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from legalrr.report.dot_plot import SALT
from legalrr.report.measured import Row
from legalrr.report.views import ATTENTION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COST = (
    ("prefill", "prefill, seconds", 1.0),
    ("decode", "decode, seconds per token", 1.0),
    ("state", "state, MB", 1e-6),
)
"""What of a cost is drawn: its name, the label, and what it is multiplied with."""


def measured_svg(rows: Sequence[Row]) -> str:
    """The plot as SVG text; the same rows give the same bytes. Needs at least one row."""
    from matplotlib import colormaps, rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    colours = [colormaps["viridis"](0.9 * place / max(1, len(rows) - 1)) for place in range(len(rows))]
    with rc_context({"svg.hashsalt": SALT, "font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=(12.0, 3.4 + 0.12 * len(rows)))
        FigureCanvasSVG(figure)
        figure.set_layout_engine("constrained")
        bars, recall, *costs = figure.subplots(1, 2 + len(COST))
        bars.barh(range(len(rows)), [row.found["perplexity"] for row in rows], color=colours)
        bars.set(xscale="log", xlabel="perplexity", yticks=[])
        bars.invert_yaxis()
        for row, colour in zip(rows, colours, strict=True):
            points = sorted((int(distance), share) for distance, share in row.found["recall"].items())
            _line(recall, points, row.backbone, colour)
        recall.set(xlabel="distance, tokens", ylabel="recall", ylim=(-0.03, 1.03))
        for axes, (what, label, scale) in zip(costs, COST, strict=True):
            for row, colour in zip(rows, colours, strict=True):
                _line(axes, [(cost["tokens"], scale * cost[what]) for cost in row.found["cost"]], row.backbone, colour)
            axes.set(yscale="log", xlabel="tokens before", ylabel=label)
        for axes in (bars, recall, *costs):
            axes.spines[["top", "right"]].set_visible(False)
        figure.legend(
            *recall.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8
        )
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def _line(axes: "Axes", points: Sequence[tuple[float, float]], label: str, colour: object) -> None:
    style = "--" if label.endswith(ATTENTION) else "-"
    xs, ys = ([point[place] for point in points] for place in (0, 1))
    axes.set_xscale("log")
    axes.set_xticks(xs, [f"{x:g}" for x in xs])
    axes.minorticks_off()
    axes.plot(xs, ys, marker="o", markersize=3, label=label, color=colour, linestyle=style)
