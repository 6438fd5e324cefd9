"""Draw the figures of a report as dots with intervals: macro-F1, differences, effects, explanation scores.

`dot_plot` returns an SVG document with text as paths, which looks the same everywhere. `inline_dot_plot` returns an
element for an HTML page: text as text, colours as CSS variables of the page, unique ids, and no inline styles, which a
content security policy would block.

The two vertical lines in a panel of macro-F1 depend on the class balance only, as ratios of expected counts, with
a = gold allowed / n:

    majority   always the larger class:    F1 = 2 m / (1 + m) for it, 0 for the other; m = max(a, 1 - a)
    coin       YES with probability 1/2:   F1(class) = s / (s + 1/2) for a class of share s
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from types import MappingProxyType
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from legalrr.errors import one_line, printable
from legalrr.html import SVG_SALT
from legalrr.report.compare import ArmResult, Group, Report
from legalrr.report.pooled_effects import Pool
from legalrr.report.sections import ExplainedTurn
from legalrr.report.table_view import arm_label, differing_options, full_title, group_title
from legalrr.score.detectable import LEVEL
from legalrr.score.effects import MEASURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


COLOURS = MappingProxyType({"arm": "#1f4e79", "baseline": "#777777", "probe": "#a05a00", "reference": "#b22222"})
"""Kind of a dot -> its colour."""
MARKERS = MappingProxyType({"arm": "o", "reference": "D"})
"""Kind of a dot -> its marker; a square for all others."""
PAPER, RULE, GRID = "#ffffff", "#444444", "#dddddd"
VARIABLES = MappingProxyType(
    {
        **{colour: f"var(--{kind})" for kind, colour in COLOURS.items()},
        COLOURS["arm"]: "var(--accent)",
        PAPER: "var(--paper)",
        RULE: "var(--faint)",
        GRID: "var(--rule)",
        "#000000": "currentColor",
    }
)
"""Colour of a plot -> its value in a page, which follows the light or dark scheme."""
WIDTH_INCHES, LINE_INCHES, PAD_INCHES = 8.0, 0.3, 0.12
TITLED_INCHES, UNTITLED_INCHES = 1.15, 0.75
"""Height of a row of panels without its lines, with and without titles."""
MAX_TICKS = 5
"""Maximum number of tick intervals of an axis that shares its row with others."""
TITLE_CHARACTERS, LABEL_CHARACTERS = 80, 36
"""Maximum characters of a line as wide as the figure, and of a label; titles are wrapped, labels shortened."""
ATTRIBUTES = ("fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-dashoffset", "text-anchor")
"""Properties of matplotlib's inline styles that become attributes in the page."""
REFERENCES = re.compile(r"#([\w.-]+)")
FONT_SIZE = re.compile(r"font(?:-size)?:\s*([\d.]+)px")
DECIMALS = re.compile(r"-?\d+\.\d{3,}")


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One line of a panel."""

    label: str
    """Label at the left."""
    value: float | None
    """Position of the dot; None: no dot."""
    interval: tuple[float, float] | None = None
    """Ends of the interval; None: no interval."""
    kind: str = "arm"
    """Key of `COLOURS`."""
    hollow: bool = False
    """Whether to draw only the outline, as for a difference that is not significant."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One axis with its lines."""

    dots: tuple[Dot, ...]
    """Lines, from the top."""
    axis: str
    """Label of the axis."""
    title: str = ""
    """Text above the panel."""
    limits: tuple[float, float] | None = None
    """Ends of the axis; None: the range of the data."""
    rules: tuple[tuple[float, str], ...] = ()
    """Vertical lines: position, and line style as in matplotlib."""


def dot_plot(panels: Sequence[Panel], *, columns: int = 1) -> str:
    """Return the panels as an SVG document; the same panels give the same bytes.

    Args:
        panels: At least one, row by row. The panels of a row have the same lines, labelled in the first column only.
        columns: Panels per row.
    """
    return _draw(panels, columns, inline=False)


def inline_dot_plot(panels: Sequence[Panel], *, name: str, title: str, columns: int = 1) -> str:
    """Return the panels as an SVG element for an HTML page.

    Args:
        panels: As for `dot_plot`.
        name: Prefix of the ids; unique in the page.
        title: Accessible name of the figure.
        columns: As for `dot_plot`.
    """
    root = ET.fromstring(_draw(panels, columns, inline=True))
    texts = (value for element in root.iter() for key, value in element.items() if key != "d" and "#" in value)
    used = {id for text in texts for id in REFERENCES.findall(text)}
    (made,) = _element(root, f"{name}-", used)
    for size in ("width", "height", "version"):
        made.attrib.pop(size)
    made.attrib |= {"role": "img", "aria-label": one_line(title), "stroke-linejoin": "round"}
    heading = ET.Element("title")
    heading.text = one_line(title)
    made.insert(0, heading)
    return ET.tostring(made, encoding="unicode")


def _draw(panels: Sequence[Panel], columns: int, *, inline: bool) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    rows = [panels[at : at + columns] for at in range(0, len(panels), columns)]
    heights = [
        (TITLED_INCHES if any(panel.title for panel in row) else UNTITLED_INCHES)
        + LINE_INCHES * max(len(panel.dots) for panel in row)
        for row in rows
    ]
    settings = {
        "svg.hashsalt": SVG_SALT,
        "svg.fonttype": "none" if inline else "path",
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "text.parse_math": False,
    }
    with rc_context(settings):
        figure = Figure(figsize=(WIDTH_INCHES, sum(heights)))
        FigureCanvasSVG(figure)
        figure.set_layout_engine("constrained", h_pad=PAD_INCHES)
        grid = figure.subplots(len(heights), columns, squeeze=False, gridspec_kw={"height_ratios": heights}).flat
        for number, axes in enumerate(grid):
            if number < len(panels):
                _panel(axes, panels[number], labelled=number % columns == 0, columns=columns)
            else:
                axes.set_axis_off()
            axes.patch.set_visible(not inline)
        figure.patch.set_visible(not inline)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def _panel(axes: "Axes", panel: Panel, *, labelled: bool, columns: int) -> None:
    for place, dot in enumerate(panel.dots):
        if dot.value is None:
            continue
        colour = COLOURS[dot.kind]
        if dot.interval is not None:
            axes.hlines(place, *dot.interval, color=colour, linewidth=2, clip_on=False)
        face = PAPER if dot.hollow else colour
        marker = MARKERS.get(dot.kind, "s")
        axes.plot([dot.value], [place], marker, markersize=6, color=colour, mfc=face, clip_on=False)
    for position, style in panel.rules:
        axes.axvline(position, color=RULE, linewidth=1, linestyle=style, zorder=1)
    axes.set_yticks(range(len(panel.dots)), [_shortened(dot.label) if labelled else "" for dot in panel.dots])
    axes.set_ylim(len(panel.dots) - 0.5, -0.5)
    if panel.limits is not None:
        axes.set_xlim(*panel.limits)
    if columns > 1:
        axes.locator_params(axis="x", nbins=MAX_TICKS, steps=[1, 2, 5, 10])
        axes.tick_params(axis="x", labelsize="small")
    axes.set_xlabel(_wrapped(panel.axis, columns))
    axes.set_title(_wrapped(one_line(panel.title), columns), loc="left", fontsize=11)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[["top", "right"]].set_visible(False)


def _wrapped(text: str, columns: int) -> str:
    return "\n".join(fill(line, TITLE_CHARACTERS // columns) for line in printable(text).splitlines())


def _shortened(label: str) -> str:
    return one_line(label if len(label) <= LABEL_CHARACTERS else f"{label[: LABEL_CHARACTERS - 1]}…")


def _element(old: ET.Element, prefix: str, used: set[str]) -> list[ET.Element]:
    """Convert an element for a page; returns its children if it has no attributes, and an empty list for metadata."""
    tag = old.tag.rpartition("}")[2]
    if tag in ("metadata", "style"):
        return []
    style = dict(part.split(":", 1) for part in old.get("style", "").split(";") if ":" in part)
    properties = {key.strip(): value.strip() for key, value in style.items()}
    new = ET.Element(tag, {key: properties[key] for key in ATTRIBUTES if key in properties})
    if size := FONT_SIZE.search(old.get("style", "")):
        new.set("font-size", size[1])
    for key, value in old.items():
        if key == "id":
            if value in used:
                new.set("id", prefix + value)
        elif key != "style":
            new.set(key.rpartition("}")[2], REFERENCES.sub(rf"#{prefix}\1", value))
    for key, value in new.items():
        new.set(key, VARIABLES.get(value, DECIMALS.sub(lambda found: f"{float(found[0]):.2f}", value)))
    new.extend(child for inner in old for child in _element(inner, prefix, used))
    if tag == "text":
        new.text = old.text
    return [new] if new.attrib or (tag == "defs" and len(new)) else list(new)


MEASURE_NAMES = {"macro_f1": "macro-F1", "accuracy": "accuracy", "yes_rate": "YES rate"}
ZERO = ((0.0, "-"),)


def forest_svg(report: Report) -> str:
    """Return the forest plot of macro-F1 as an SVG document; the same report gives the same bytes.

    Args:
        report: A report with at least one group.
    """
    return dot_plot(macro_f1_panels(report))


def macro_f1_panels(report: Report) -> list[Panel]:
    """Return a panel per group: macro-F1 of its rows, with lines at the scores of a coin and of the larger class."""
    return [_macro_f1_panel(group, _heading(group, report)) for group in report.groups]


def difference_panels(report: Report) -> list[Panel]:
    """Return a panel per group with comparisons: macro-F1 less that of the reference; filled where significant."""
    panels = []
    for group in report.groups:
        dots = tuple(
            Dot(
                label=pair.row.setup.label,
                value=pair.comparison.difference,
                interval=pair.comparison.interval,
                kind=_kind(pair.row),
                hollow=not pair.shown,
            )
            for pair in group.pairs
            if pair.comparison is not None
        )
        if dots:
            axis = f"Difference of macro-F1 to the reference arm, {_level(group)} interval"
            panels.append(Panel(dots=dots, axis=axis, title=full_title(group, report), rules=ZERO))
    return panels


def effect_panels(pool: Pool) -> list[Panel]:
    """Return a panel per measure, in the order of `MEASURES`: the effects of a pool; filled where significant.

    Effects without an estimate are left out; without any there is no panel.
    """
    estimated = [one for one in pool.effects if one.estimate is not None]
    return [
        Panel(
            dots=tuple(
                Dot(
                    label=one.name.replace(":", " × "),
                    value=one.estimate,
                    interval=one.interval,
                    hollow=not one.shown,
                )
                for one in estimated
                if one.measure == measure
            ),
            axis=f"difference of {MEASURE_NAMES[measure]}",
            rules=ZERO,
        )
        for measure in (MEASURES if estimated else ())
    ]


def explanation_panels(turn: ExplainedTurn) -> list[Panel]:
    """Return a panel per measure of a turn, then, where there are any, a panel per measure with the differences."""
    scores, differences = [], []
    for measure, heading in turn.headings.items():
        means = ((row, row.means.get(measure)) for row in turn.rows)
        dots = [
            Dot(
                label=arm_label(row.row),
                value=None if mean is None else mean.mean,
                interval=None if mean is None else mean.interval,
                kind=_kind(row.row),
            )
            for row, mean in means
        ]
        scores.append(Panel(dots=tuple(dots), axis=heading))
        pairs = [(row, row.pairs.get(measure)) for row in turn.rows]
        dots = [
            Dot(
                label=arm_label(row.row),
                value=None if pair is None else pair.difference.difference,
                interval=None if pair is None else pair.difference.interval,
                kind=_kind(row.row),
                hollow=pair is None or pair.p_holm >= LEVEL,
            )
            for row, pair in pairs
        ]
        if any(pair for _, pair in pairs):
            differences.append(Panel(dots=tuple(dots), axis=f"difference of {heading}", rules=ZERO))
    return scores + differences


def chance(row: ArmResult) -> float:
    """Return the macro-F1 of random answers, YES with probability 1/2."""
    shares = _shares(row)
    return sum(share / (share + 0.5) for share in shares) / 2


def majority(row: ArmResult) -> float:
    """Return the macro-F1 of always answering the more frequent outcome."""
    larger = max(_shares(row))
    return larger / (1 + larger)


def _shares(row: ArmResult) -> tuple[float, float]:
    allowed = sum(row.scores.confusion["allowed"].values()) / row.scores.n
    return allowed, 1 - allowed


def _macro_f1_panel(group: Group, heading: str) -> Panel:
    first = group.rows[0]
    coin, larger = chance(first), majority(first)
    axis = f"Macro-F1 with {_level(group)} interval, n = {first.scores.n}"
    dots = [
        Dot(label=arm_label(row), value=row.scores.macro_f1 or 0.0, interval=row.scores.interval, kind=_kind(row))
        for row in group.rows
    ]
    return Panel(
        dots=tuple(dots),
        axis=f"{axis}\ndotted: coin {coin:.2f}; dashed: majority {larger:.2f}",
        title=heading,
        limits=(0.0, 1.0),
        rules=((coin, ":"), (larger, "--")),
    )


def _kind(row: ArmResult) -> str:
    if row.is_reference:
        return "reference"
    return row.setup.family if row.setup.family in COLOURS else "arm"


def _level(group: Group) -> str:
    return f"{group.rows[0].cell.scorer.confidence:.0%}"


def _heading(group: Group, report: Report) -> str:
    setup = group.setup
    parts = (group_title(group), setup.layout, setup.reading, differing_options(group, report))
    return ", ".join(part for part in parts if part)
