"""Confusion matrix of a tagger as a picture: a row per gold role, shaded by the share of its sentences."""

import io
from collections.abc import Sequence

SALT = "legalrr"
"""Fixed, so that the ids in the file, and with them its bytes, are the same every time."""
CELL_INCHES, MARGIN_INCHES = 0.52, 2.2
DARK = 0.55
"""From this share on a cell is dark enough for white digits."""


def confusion_svg(gold: Sequence[str], found: Sequence[str], *, title: str) -> str:
    """The matrix as SVG text; each cell shows the number of sentences.

    Args:
        gold: gold role of every sentence.
        found: role given to it, in the same order.
        title: what was scored.
    """
    import numpy as np
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from sklearn.metrics import confusion_matrix

    roles = sorted(set(gold) | set(found))
    counts = confusion_matrix(gold, found, labels=roles)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = CELL_INCHES * len(roles) + MARGIN_INCHES
    with rc_context({"svg.hashsalt": SALT, "font.family": "DejaVu Sans", "font.size": 8}):
        figure = Figure(figsize=(side, side), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(roles)), roles, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(roles)), roles)
        axes.set_xlabel("role found")
        axes.set_ylabel("gold role")
        axes.set_title(title)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] >= DARK else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=7)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
