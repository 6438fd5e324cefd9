"""Read judgments in the marked layout of the specimen: a YAML header, then the text with a marker where a role starts.

    ---
    id: rent-1
    party: appellant
    outcome: allowed
    ---
    [PREAMBLE] IN THE HIGH COURT ...

    [FAC] 1. The appellant is a tenant. [RLC] The Rent Controller ...

A marker is the code of a role in square brackets, followed by one space or newline; both are removed from the text. The
role extends to the next marker; white space at its ends is not part of the span. Any other word in capitals in
brackets, the name of a role spelt otherwise ("[Facts]", "[ RPC ]"), and any capitalized word in brackets that begins a
paragraph, is reported as a misspelt role. (Brackets such as "[T]he", "[1973]" or "[See para 5]" are text.)

A misspelt marker must not be read as text: what follows it would have the role of the marker before it, and a ruling
would be shown. Judgments have brackets of their own, as in "[1973] 2 SCR 541", "[T]he", "[See para 5]" or "[Emphasis
supplied]"; these are text. A word in capitals in brackets matches `MARKER` and is checked against the scheme.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, cast

from legalrr import paths
from legalrr.corpora.bounded_files import read_text
from legalrr.corpora.checks import parse_party, select_splits, strip_span, validate_judgments
from legalrr.corpora.files import list_text_files, require_path
from legalrr.errors import UserError
from legalrr.plain_yaml import YamlError, load_yaml
from legalrr.records import OUTCOMES, Judgment, Outcome, Span
from legalrr.roles import BUILD, KINDS, SCHEMES, SEVEN, Scheme, scheme
from legalrr.stage import later

MARKER = re.compile(r"\[([A-Z][A-Z_]+)\]")
# Brackets of other scripts and widths count too. A letter right after the bracket completes a word, as in "[Th]e".
_BRACKET = re.compile(r"[\[\uff3b\u3010]([^\[\]\n\uff3b\uff3d\u3010\u3011]{1,60})[\]\uff3d\u3011](?![^\W\d_])")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SENTENCE_END = re.compile(r"[.!?:;\"'”’)\]]\s*$")
_ROMAN = re.compile(r"[ivxlcdm]+", re.IGNORECASE)
# Words with which judgments begin a bracket of their own.
_EDITORIAL = re.compile(
    r"see|sic|supra|ibid|notes?|emphasis|omitted|supplied|added|sd|signed|vide|per|cf|an?|the|he|she|it|they|we|his|her|its|"
    r"their|this|that|these|those|who|which|what|there|in|on|at|by|for|to|of|from|with|when|while|where|if|as|and|but|or|so|"
    r"not?",
    re.IGNORECASE,
)
# Words that name a role by themselves, and words that may stand beside them.
_ROLE_WORD = re.compile(
    r"preamble|facts?|fac|issues?|arguments?|args?|analysis|reasoning|ratio|statutes?|sta|precedents?|pre|rulings?|rlc|rpc|"
    r"holding|dissent|decision|submissions|contentions"
)
_BESIDE = re.compile(
    r"of|the|by|for|on|s|lower|present|court|petitioners?|respondents?|appellants?|relied|not|non|upon|overruled|final|order|"
    r"law|case|judgment"
)


def find_misspelt_marker(content: str, begin: int) -> re.Match[str] | None:
    """Return the first bracket after `begin` that looks like a marker of another spelling; None if there is none.

    These do: words that name a role, where a sentence may begin or in capitals anywhere; and a single capitalized word,
    whatever it is, at the beginning of a paragraph.

    Args:
        content: content of a file in the marked layout.
        begin: offset of its body.
    """
    return next(_misspelt(content, begin), None)


def _misspelt(content: str, begin: int) -> Iterator[re.Match[str]]:
    for bracket in _BRACKET.finditer(content, begin):
        inner = bracket.group(1)
        if MARKER.fullmatch(bracket.group()):
            continue
        before = content[max(begin, bracket.start() - 200) : bracket.start()]
        line = before.rpartition("\n")[2]
        starts_line = not line.strip(" \t>*#-")
        ends_sentence = starts_line or _SENTENCE_END.search(before) is not None
        named = _names_role(inner) and (ends_sentence or inner.upper() == inner)
        if named or (starts_line and _is_one_word(inner) and not _continues(before)):
            yield bracket


def _names_role(inner: str) -> bool:
    """Whether the words of a bracket are those of a role, whatever their case, separators, numbers or punctuation."""
    words = [word.lower() for word in _WORD.findall(inner)]
    if not words or len(words) > 8:
        return False
    joined = "".join(words)
    if joined in _SPELLINGS or joined.removesuffix("s") in _SPELLINGS:
        return inner.strip() != "none"
    roles = [_ROLE_WORD.fullmatch(word) is not None for word in words]
    return any(roles) and all(role or _BESIDE.fullmatch(word) for word, role in zip(words, roles, strict=True))


def _is_one_word(inner: str) -> bool:
    word = inner.strip(" \t:.-/*")
    return (
        re.fullmatch(r"[^\W\d_][^\W\d]+(?:[-/][^\W\d]+)*", word) is not None
        and word[0].isupper()
        and _EDITORIAL.fullmatch(word) is None
        and _ROMAN.fullmatch(word) is None
    )


def _continues(before: str) -> bool:
    """Whether the line before is a sentence broken within: it ends in a lower-case letter, a digit or a comma."""
    previous = before.rpartition("\n")[0].rpartition("\n")[2].rstrip()
    return bool(previous) and (previous[-1].islower() or previous[-1] in "0123456789,")


def _letters(text: str) -> str:
    return "".join(word.lower() for word in _WORD.findall(text))


_SPELLINGS = frozenset(
    _letters(text)
    for known in (BUILD, SEVEN)
    for text in [name for role in known.roles for name in (role.code, role.heading)] + list(known.aliases)
) | frozenset(_letters(getattr(kind, name)) for kind in KINDS for name in SCHEMES if getattr(kind, name))
"""Letters of all codes, headings, aliases and published labels."""


TEXT_KEYS = ("title", "court", "kind", "petitioner", "group")
KEYS = ("id", "year", "party", "outcome", *TEXT_KEYS)
HEADER = re.compile(r"---\n(.*?\n)---\n", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Marked:
    """Reader of judgments in the marked layout."""

    VERSION: ClassVar[int] = 1

    name: str
    """Name in tables."""
    folder: str
    """Config path of the folder with the *.txt files."""
    scheme: str = "build"
    """Scheme of the roles."""
    split: str | None = None
    """Always null: the folder has no splits."""
    train_split: str | None = None
    """Always null."""
    party: str | None = later(default=None)
    """The party that came to the court, for judgments without it in the header; null: taken from each judgment."""
    court: str | None = later(default=None)
    """Name of the court, for judgments without it in the header; null: taken from each judgment."""

    def __post_init__(self) -> None:
        """Raise UserError for an unknown scheme or party."""
        scheme(self.scheme, where=f"corpus {self.name}: scheme")
        parse_party(self.party, where=f"corpus {self.name}: party")

    def paths(self, split: str | None) -> list[Path]:
        """Return the folder, whether or not it exists."""
        select_splits(split, (), corpus=self.name)
        return [paths.resolve(self.folder)]

    def read(self, split: str | None) -> Iterator[Judgment]:
        """Yield all judgments in natural order of the files; raise UserError with file and line."""
        return validate_judgments(self._judgments(split))

    def _judgments(self, split: str | None) -> Iterator[Judgment]:
        select_splits(split, (), corpus=self.name)
        for path in list_text_files(require_path(self.folder)):
            one = parse_marked(read_text(path), roles=scheme(self.scheme), source=str(path))
            party = one.party or parse_party(self.party, where=self.name)
            yield replace(one, party=party, court=one.court or self.court)


def parse_marked(content: str, *, roles: Scheme, source: str) -> Judgment:
    r"""Parse the content of a file in the marked layout.

    Args:
        content: header and body, lines separated by "\n".
        roles: scheme of the markers.
        source: name of the file, for messages.

    Raises:
        UserError: invalid header or markers.
    """
    header = HEADER.match(content)
    if header is None:
        raise UserError("no header", where=f"{source}:1", cure="start with a YAML header between two lines ---")
    fields = _parse_header(header.group(1), source)
    text, spans = _parse_body(content, header.end(), roles, source)
    return Judgment(
        id=str(fields["id"]),
        text=text,
        outcome=cast(Outcome | None, fields.get("outcome")),
        party=parse_party(fields.get("party"), where=source),
        petitioner=_text_field(fields, "petitioner"),
        court=_text_field(fields, "court"),
        year=cast(int | None, fields.get("year")),
        kind=_text_field(fields, "kind"),
        group=_text_field(fields, "group"),
        source=f"{source}:1",
        scheme=roles.name,
        spans=spans,
    )


def _parse_header(header: str, source: str) -> Mapping[str, object]:
    try:
        fields = load_yaml(header, depth=1, typed=True)
    except YamlError as error:
        raise UserError(
            f"bad header: {error.fault}",
            where=f"{source}:{1 + error.line}",
            cure="write a line KEY: VALUE for each fact, and quote values with a colon",
        ) from error
    if not isinstance(fields, dict) or fields.get("id") is None:
        raise UserError("no id in the header", where=f"{source}:2", cure="write id: and a unique name")
    for key, value in fields.items():
        where = f"{source}:{_line_of(header, key)}"
        if key not in KEYS:
            raise UserError(f"unknown key {str(key)!r}", where=where, cure=f"the header has {', '.join(KEYS)}")
        if key == "outcome" and value not in (None, *OUTCOMES):
            raise UserError(f"outcome {value!r}", where=where, cure="write allowed or dismissed, or leave it out")
        if key == "year" and value is not None and type(value) is not int:
            raise UserError(f"year {value!r}", where=where, cure="write four digits")
        if key == "party":
            parse_party(value, where=where)
        if key in TEXT_KEYS and not isinstance(value, str | None):
            raise UserError(f"{key} is not a string: {value!r}", where=where, cure="put it in quotes")
    return fields


def _line_of(header: str, key: object) -> int:
    """Return the line of a key in the file, whose header starts in the second."""
    found = re.search(rf"^\W*{re.escape(str(key))}\b", header, re.MULTILINE)
    return 2 + header.count("\n", 0, found.start()) if found else 2


def _text_field(fields: Mapping[str, object], key: str) -> str | None:
    value = fields.get(key)
    return value if isinstance(value, str) else None


def _parse_body(content: str, begin: int, roles: Scheme, source: str) -> tuple[str, tuple[Span, ...]]:
    """Parse the markers; return the text without them, and the spans."""
    if misspelt := find_misspelt_marker(content, begin):
        raise UserError(
            f"{misspelt.group()} is not a role of the scheme {roles.name!r}",
            where=f"{source}:{content.count(chr(10), 0, misspelt.start()) + 1}",
            cure=f"write one of {', '.join(f'[{role.code}]' for role in roles.roles)}; in text use round brackets",
        )
    markers = list(MARKER.finditer(content, begin))
    first = markers[0].start() if markers else len(content)
    if content[begin:first].strip() or not markers:
        line = content.count("\n", 0, begin) + 1
        raise UserError(
            "text before the first marker", where=f"{source}:{line}", cure="start with a role, as [PREAMBLE]"
        )
    pieces: list[str] = []
    spans: list[Span] = []
    offset = 0
    for marker, following in zip(markers, [*markers[1:], None], strict=True):
        where = f"{source}:{content.count(chr(10), 0, marker.start()) + 1}"
        code = roles.code(marker.group(1), where=where)
        after = marker.end()
        if content[after : after + 1] not in (" ", "\n") or not content[marker.start() - 1].isspace():
            raise UserError(f"{marker.group()} is inside a word", where=where, cure="put a space on both sides")
        piece = content[after + 1 : following.start() if following else len(content)]
        start, end = strip_span(piece, 0, len(piece))
        if start >= end:
            raise UserError(f"no text after {marker.group()}", where=where, cure="remove the marker")
        spans.append(Span(start=offset + start, end=offset + end, role=code))
        pieces.append(piece)
        offset += len(piece)
    return "".join(pieces), tuple(spans)
