"""Role markers of the marked layout, and brackets that look like markers but are none.

A misspelt marker must not be read as text: what follows it would have the role of the marker before it, and a ruling
would be shown. Judgments have brackets of their own, as in "[1973] 2 SCR 541", "[T]he", "[See para 5]" or "[Emphasis
supplied]"; these are text. A word in capitals in brackets matches `MARKER` and is checked against the scheme.
"""

import re
from collections.abc import Iterator

from legalrr.roles import BUILD, KINDS, SCHEMES, SEVEN

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
