"""The HTML page of a judgment: complete text, no injected tags, no external resources."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from legalrr.records import Judgment, Segments, Span
from legalrr.roles import BUILD, SEVEN
from legalrr.segment.page import render_judgment
from legalrr.sentences import split

HOSTILE = (
    "<script>alert(1)</script> </main></html> <img src=x onerror=alert(2)> & &lt;b&gt; \"' {{ 7 * 7 }} {% raw %} "
    "--> <!-- ]]> javascript:alert(3) \x00\x07\x1b[31m\x7f\x85 \u202etfel\u2066 \u2028 \ufeff. הערעור נדחה. अपील खारिज।"
)


def judged(text: str, scheme=BUILD, score: float = 0.8, title: str = "a") -> str:
    spans = tuple(
        Span(start=start, end=end, role=scheme.roles[number % len(scheme.roles)].code, score=score)
        for number, (start, end) in enumerate(split(text))
    )
    segments = Segments(id=title, scheme=scheme.name, spans=spans)
    return render_judgment(Judgment(id=title, text=text), segments, tagger="crf")


class Reader(HTMLParser):
    """Parser of the page: tags with attributes, and the text of <main>."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.inline: dict[str, str] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "main" in self.open:
            self.text += data
        if self.open and self.open[-1] in ("script", "style"):
            self.inline[self.open[-1]] = data


def shown(text: str) -> str:
    """Replace control characters by control pictures, and invalid ones by the replacement character."""

    def one(character: str) -> str:
        code = ord(character)
        if code < 32 and character not in "\t\n\r":
            return chr(0x2400 + code)
        if code == 0x7F:
            return "\u2421"
        return "\ufffd" if 0x80 <= code < 0xA0 or 0xD800 <= code < 0xE000 else character

    return "".join(map(one, text))


@settings(deadline=None)
@given(st.text(max_size=200))
@example(HOSTILE)
@example("")
@example("\ud800 A. \r\nB. \n\n\n")
def test_the_page_shows_exactly_the_text(text):
    html = judged(text)
    html.encode("utf-8")
    assert Reader(html).text == shown(text)


@pytest.mark.parametrize("scheme", [BUILD, SEVEN], ids=lambda s: s.name)
def test_every_sentence_has_role_and_probability(scheme):
    text = "The facts are these. " * 15
    spans = [attributes for tag, attributes in Reader(judged(text, scheme)).tags if "data-score" in attributes]
    assert len(spans) == 15
    for number, attributes in enumerate(spans):
        role = scheme.roles[number % len(scheme.roles)]
        assert role.code in attributes["class"].split()
        assert attributes["id"] == f"s{number + 1}"
        assert attributes["title"] == f"{role.heading}, 0.80"


def test_the_legend_links_to_the_first_sentence_of_each_role():
    reader = Reader(judged("The facts are these. " * 15))
    links = {attributes["data-role"]: attributes["href"] for tag, attributes in reader.tags if tag == "a"}
    assert links == {role.code: f"#s{number}" for number, role in enumerate(BUILD.roles, start=1)}
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in links.values()} <= set(ids)


def test_an_absent_role_is_in_the_legend_without_a_link():
    html = judged("One sentence.")
    assert sum(tag == "a" for tag, _ in Reader(html).tags) == 1
    assert "Ruling by Lower Court" in html


def test_first_sentences_of_a_run_and_unsure_sentences_are_marked():
    text = "One. Two. Three."
    scores = (0.9, 0.4, 0.5)
    roles = ("FAC", "FAC", "RPC")
    spans = tuple(
        Span(start=start, end=end, role=role, score=score)
        for (start, end), role, score in zip(split(text), roles, scores, strict=True)
    )
    html = render_judgment(Judgment(id="a", text=text), Segments(id="a", scheme="build", spans=spans), tagger="crf")
    classes = [attributes["class"] for _, attributes in Reader(html).tags if "data-score" in attributes]
    assert classes == ["s FAC opens", "s FAC unsure", "s RPC opens"]


def test_text_between_and_around_spans_is_shown_without_a_role():
    text = "Head. One. Between. Two. Tail."
    spans = (Span(start=6, end=10, role="FAC"), Span(start=20, end=24, role="RPC"))
    html = render_judgment(Judgment(id="a", text=text), Segments(id="a", scheme="seven", spans=spans), tagger="gold")
    reader = Reader(html)
    assert reader.text == text
    assert sum("data-score" in attributes for _, attributes in reader.tags) == 2


@pytest.mark.parametrize("title", ["a", HOSTILE])
def test_text_and_title_create_no_tags_and_nothing_is_loaded(title):
    reader = Reader(judged(HOSTILE, title=title))
    assert [tag for tag, _ in reader.tags].count("script") == 1
    assert not {"img", "iframe", "link", "object", "form", "base"} & {tag for tag, _ in reader.tags}
    for _, attributes in reader.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "style", "srcset")]
        assert attributes.get("href", "#").startswith("#")
    for source in reader.inline.values():
        assert not re.search(r"https?:|//\w+\.|@import|url\(|eval|innerHTML|fetch|\.src\b", source)


def test_the_security_policy_permits_only_own_script_and_style():
    reader = Reader(judged(HOSTILE))
    (policy,) = [a["content"] for tag, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(reader.inline[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_every_role_has_a_colour_and_dark_and_print_styles_exist():
    style = Reader(judged("One."))
    for role in (*BUILD.roles, *SEVEN.roles):
        assert re.search(rf"\.role\.{role.code}\b[^{{]*\{{", style.inline["style"]), role.code
    assert "prefers-color-scheme: dark" in style.inline["style"]
    assert "@media print" in style.inline["style"]


def test_the_page_is_reproducible():
    assert judged(HOSTILE) == judged(HOSTILE)
