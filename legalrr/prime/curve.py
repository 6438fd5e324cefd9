"""The curve of a run of priming: the losses of both stages, and perplexity before, between and after."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from legalrr.report.dot_plot import SALT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOUR, SHADE = "#1f4e79", "#9db6cf"
LAYER = "layer_"


def curve_svg(lines: Sequence[Mapping[str, Any]], perplexity: Mapping[str, float]) -> str:
    """The plot as SVG text; the same lines give the same bytes.

    Args:
        lines: of the journal.
        perplexity: what was measured, in order, by when.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": SALT, "font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=(9.6, 3.0))
        FigureCanvasSVG(figure)
        figure.set_layout_engine("constrained")
        align, distil, held_out = figure.subplots(1, 3)
        _losses(align, [line for line in lines if line["stage"] == "align"], "(a) layers: unexplained share of output")
        _losses(distil, [line for line in lines if line["stage"] == "distil"], "(b) hybrid: divergence, nats per token")
        _bars(held_out, perplexity)
        for axes in (align, distil, held_out):
            axes.spines[["top", "right"]].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def _losses(axes: "Axes", lines: Sequence[Mapping[str, Any]], title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_xlabel("step")
    if not lines:
        return
    steps = [line["step"] for line in lines]
    for layer in [key for key in lines[0] if key.startswith(LAYER)]:
        axes.plot(steps, _smooth([line[layer] for line in lines]), color=SHADE, linewidth=0.7)
    axes.plot(steps, _smooth([line["loss"] for line in lines]), color=COLOUR)
    axes.set_yscale("log")


def _bars(axes: "Axes", perplexity: Mapping[str, float]) -> None:
    axes.set_title("perplexity, held-out judgments", loc="left", fontsize=9)
    bars = axes.bar(list(perplexity), list(perplexity.values()), color=COLOUR, width=0.6)
    axes.bar_label(bars, [f"{value:.4g}" for value in perplexity.values()], fontsize=8)
    axes.set_yscale("log")


def _smooth(values: Sequence[float]) -> list[float]:
    """Means over the last tenth of what was so far, at most 20 values."""
    found = []
    for end in range(1, len(values) + 1):
        near = values[end - min(20, 1 + end // 10) : end]
        found.append(sum(near) / len(near))
    return found
