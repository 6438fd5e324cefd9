import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from legalrr.report.figures import Dot, Panel, dot_plot, inline_dot_plot

HOSTILE = "$x$ <script>x</script> \"&' \x1b \ud800"


def panel(**changes) -> Panel:
    dots = (
        Dot(label="D", value=0.2, interval=(0.1, 0.4)),
        Dot(label="R", value=0.4, interval=(0.3, 0.5), hollow=True),
        Dot(label="none", value=None),
        Dot(label="majority", value=0.8, kind="baseline"),
    )
    return Panel(**{"dots": dots, "axis": "macro-F1", "limits": (0.0, 1.0), "rules": ((0.5, ":"),), **changes})


def inline(*panels: Panel, name: str = "one", **options) -> ET.Element:
    return ET.fromstring(inline_dot_plot(panels, name=name, title="Scores & effects", **options))


def lines(element: ET.Element, colour: str, width: str) -> list[list[float]]:
    """Return both ends of the horizontal lines of a colour and width."""
    paths = [
        path.get("d")
        for path in element.iter("path")
        if (path.get("stroke"), path.get("stroke-width")) == (colour, width)
    ]
    return [[float(x) for x in re.findall(r"[ML] ([\d.]+)", path)] for path in paths]


@pytest.mark.parametrize("draw", [dot_plot, lambda panels: inline_dot_plot(panels, name="a", title="b")])
def test_the_same_panels_give_the_same_bytes(draw):
    assert draw([panel()]) == draw([panel()])


def test_dots_and_intervals_are_where_their_values_are():
    element = inline(panel())
    places = [float(use.get("x")) for use in element.iter("use")]
    ends = lines(element, "var(--accent)", "2")
    assert len(places) == 3
    assert len(ends) == 2
    unit = (places[2] - places[0]) / 0.6
    assert places[1] - places[0] == pytest.approx(0.2 * unit, abs=0.1)
    assert ends[0] == pytest.approx([places[0] - 0.1 * unit, places[0] + 0.2 * unit], abs=0.1)
    assert ends[1] == pytest.approx([places[1] - 0.1 * unit, places[1] + 0.1 * unit], abs=0.1)


def test_what_is_not_significant_is_hollow():
    fills = [use.get("fill") for use in inline(panel()).iter("use")]
    assert fills == ["var(--accent)", "var(--paper)", "var(--baseline)"]


def test_ids_are_unique_among_figures_and_every_reference_resolves():
    elements = [inline(panel(), panel(), columns=2, name=name) for name in ("one", "two")]
    ids = [node.get("id") for element in elements for node in element.iter() if node.get("id")]
    assert ids
    assert len(ids) == len(set(ids))
    for name, element in zip(("one", "two"), elements, strict=True):
        known = {node.get("id") for node in element.iter()}
        references = set(re.findall(r'(?:href="|url\()#([\w.-]+)', ET.tostring(element, encoding="unicode")))
        assert references
        assert references <= known
        assert all(id.startswith(f"{name}-") for id in references)


def test_an_inline_figure_has_no_inline_style_or_resource():
    text = inline_dot_plot([panel()], name="one", title="t")
    assert not re.search(r"<style| style=|<!DOCTYPE|<\?xml|metadata|https?:|font-family|xlink", text)


def test_colours_follow_the_page():
    text = inline_dot_plot([panel()], name="one", title="t")
    assert not re.search(r'(?:fill|stroke)="#', text)
    values = set(re.findall(r'(?:fill|stroke)="([^"]+)"', text))
    assert values == {
        "none",
        "currentColor",
        *(f"var(--{one})" for one in ("accent", "baseline", "faint", "paper", "rule")),
    }


def test_a_figure_has_an_accessible_name_and_text_elements():
    element = inline(panel(title="all arms"))
    assert (element.get("role"), element.get("aria-label")) == ("img", "Scores & effects")
    assert element[0].tag == "title"
    assert element[0].text == "Scores & effects"
    texts = [node.text for node in element.iter("text")]
    assert {"D", "R", "none", "majority", "macro-F1", "all arms", "0.2"} <= set(texts)


def test_labels_are_neither_markup_nor_mathematics():
    dots = (Dot(label=HOSTILE, value=0.5),)
    texts = [node.text for node in inline(panel(dots=dots, axis=HOSTILE, title=HOSTILE)).iter("text")]
    assert sum("$x$ <script>x</script> \"&' ␛ \ufffd" in text for text in texts) == 3
    ET.fromstring(dot_plot([panel(dots=dots, axis=HOSTILE, title=HOSTILE)]))


def test_a_long_label_is_shortened():
    texts = [node.text for node in inline(panel(dots=(Dot(label="long " * 40, value=0.5),))).iter("text")]
    assert "long long long long long long long …" in texts


def test_a_long_axis_label_is_wrapped_to_its_column():
    texts = [node.text for node in inline(*[panel(axis="difference of a long measure")] * 3, columns=3).iter("text")]
    assert texts.count("difference of a long") == texts.count("measure") == 3


def test_only_the_first_panel_of_a_row_is_labelled():
    texts = [node.text for node in inline(*[panel()] * 5, columns=3).iter("text")]
    assert (texts.count("majority"), texts.count("macro-F1")) == (2, 5)


def test_a_document_has_axes_for_every_panel_and_no_date():
    text = dot_plot([panel(), panel()])
    assert len(set(re.findall(r'id="axes_\d+"', text))) == 2
    assert "dc:date" not in text
    assert "<text" not in text


def test_row_height_grows_with_the_number_of_lines():
    heights = [float(inline(panel(dots=panel().dots * times)).get("viewBox").split()[3]) for times in (1, 2, 3)]
    assert len({round(b - a, 3) for a, b in pairwise(heights)}) == 1
