"""Tabulate and draw measurements of backbones: perplexity, recall, time and memory, with the macro-F1 of their arms.

A row is a backbone under the options of a group. Like the other tables, this one is computed from the files of the
cells; unlike them, it has times, which depend on the machine. The figure shows perplexity, recall by distance, and
seconds and memory by length.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from legalrr.errors import one_line
from legalrr.html import SVG_SALT
from legalrr.report.compare import Group, Report
from legalrr.report.table_view import ATTENTION, attention_variant, group_title
from legalrr.tables import Table, fixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes


RULES = """\
Perplexity: on the first tokens of judgments. Recall: a code of four digits is planted so many tokens before the
question, and has the greatest probability of four codes; by chance 0.25. Prefill: seconds to process so many tokens.
Decode: seconds per token generated after them. State: size of their cache, MB."""


@dataclass(frozen=True, kw_only=True)
class MeasuredBackbone:
    """Measurements of one backbone."""

    group: Group
    """Group of the arms that it answered."""
    found: Mapping[str, Any]
    """Perplexity, recall and cost, as returned by `legalrr.backbones.meter`."""

    @property
    def backbone(self) -> str:
        """Name and variant of the backbone."""
        return f"{self.group.setup.backbone}, {attention_variant(self.group.setup)}"


def measured_rows(report: Report) -> list[MeasuredBackbone]:
    """Return a row per group with a measured backbone, without duplicates."""
    rows, seen = [], set()
    for group in report.groups:
        found = next((row.cell.measured for row in group.rows if row.cell.measured is not None), None)
        key = json.dumps([group_title(group), found], sort_keys=True)
        if found is not None and key not in seen:
            seen.add(key)
            rows.append(MeasuredBackbone(group=group, found=found))
    return rows


def measured_view(rows: Sequence[MeasuredBackbone]) -> Table:
    """Return the display table: recall at every distance, costs at the shortest and the longest text."""
    distances, lengths, arms = _distances(rows), _lengths(rows), _arms(rows)
    ends = sorted({lengths[0], lengths[-1]}) if lengths else []
    return Table(
        header=(
            "Backbone",
            *(f"Macro-F1 {arm}" for arm in arms),
            "Perplexity",
            *(f"Recall {distance}" for distance in distances),
            *(f"Prefill {length}, s" for length in ends),
            *(f"Decode {length}, s" for length in ends),
            *(f"State {length}, MB" for length in ends),
        ),
        rows=tuple(
            (
                row.backbone,
                *(fixed(_macro_f1(row, arm)) for arm in arms),
                _rounded(row.found["perplexity"]),
                *(fixed(row.found["recall"].get(str(distance)), 2) for distance in distances),
                *(fixed(_cost(row, length, "prefill"), 2) for length in ends),
                *(fixed(_cost(row, length, "decode"), 3) for length in ends),
                *(fixed(_megabytes(row, length), 1) for length in ends),
            )
            for row in rows
        ),
    )


def measured_columns(rows: Sequence[MeasuredBackbone]) -> list[dict[str, object]]:
    """Return all numbers for the CSV table, a mapping per row."""
    found = []
    for row in rows:
        setup = row.group.setup
        line: dict[str, object] = {
            "backbone": setup.backbone,
            "layers": attention_variant(setup),
            "corpus": setup.corpus,
        }
        line |= {f"macro_f1_{arm}": fixed(_macro_f1(row, arm), 6) for arm in _arms(rows)}
        line["perplexity"] = fixed(row.found["perplexity"], 4)
        line |= {f"recall_{d}": fixed(row.found["recall"].get(str(d)), 4) for d in _distances(rows)}
        for what, digits in (("prefill", 4), ("decode", 4), ("state", 0)):
            line |= {f"{what}_{length}": fixed(_cost(row, length, what), digits) for length in _lengths(rows)}
        found.append(line | {name: row.found[name] for name in ("device", "threads")})
    return found


def _arms(rows: Sequence[MeasuredBackbone]) -> list[str]:
    return list(dict.fromkeys(one.setup.label for row in rows for one in row.group.rows if one.setup.family == "arm"))


def _macro_f1(row: MeasuredBackbone, arm: str) -> float | None:
    return next((one.scores.macro_f1 for one in row.group.rows if one.setup.label == arm), None)


def _distances(rows: Sequence[MeasuredBackbone]) -> list[int]:
    return sorted({int(distance) for row in rows for distance in row.found["recall"]})


def _lengths(rows: Sequence[MeasuredBackbone]) -> list[int]:
    return sorted({cost["tokens"] for row in rows for cost in row.found["cost"]})


def _cost(row: MeasuredBackbone, length: int, what: str) -> float | None:
    return next((cost[what] for cost in row.found["cost"] if cost["tokens"] == length), None)


def _megabytes(row: MeasuredBackbone, length: int) -> float | None:
    state = _cost(row, length, "state")
    return None if state is None else state / 1e6


def _rounded(value: float) -> str:
    """Format with three decimals, or four significant digits from 1000 on."""
    return fixed(value) if value < 1000 else f"{value:.4g}"


COST = (
    ("prefill", "prefill, seconds", 1.0),
    ("decode", "decode, seconds per token", 1.0),
    ("state", "state, MB", 1e-6),
)
"""Costs to draw: name, axis label and factor."""


def measured_svg(rows: Sequence[MeasuredBackbone]) -> str:
    """Return the figure of at least one row as an SVG document; the same rows give the same bytes."""
    from matplotlib import colormaps, rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    colours = [colormaps["viridis"](0.9 * place / max(1, len(rows) - 1)) for place in range(len(rows))]
    with rc_context({"svg.hashsalt": SVG_SALT, "font.family": "DejaVu Sans", "font.size": 9, "text.parse_math": False}):
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
    axes.plot(xs, ys, marker="o", markersize=3, label=one_line(label), color=colour, linestyle=style)
