"""A plain copy of a text for detection: what a reader sees, in letters that a pattern matches.

A verdict written with soft hyphens, zero-width spaces, HTML entities, full-width or set-apart letters reads like any
other. Detection looks at this copy; offsets point into the text itself, which never changes.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,31});")
# Letters of other scripts that look like Latin ones, in a word that has Latin letters beside them.
_LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u0501\u04bb\u0410\u0412\u0415\u041a\u041c\u041d"
    "\u041e\u0420\u0421\u0422\u0425\u03bf\u03b1\u03bd\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f"
    "\u03a1\u03a4\u03a5\u03a7",
    "aeopcyxisjdhABEKMHOPCTXoavABEZHIKMNOPTYX",
)
_MIXED = re.compile(r"\b(?=\w*[A-Za-z])(?=\w*[\u0370-\u052f])\w+\b")
_SPACE = re.compile(r"\s+")
# "dis- missed", as a line break left it.
_HYPHENATED = re.compile(r"(?<=[a-z])- (?=[a-z])")
# "d i s m i s s e d": letters set apart, four at least, words by wider gaps or by none.
_APART = re.compile(r"(?<![A-Za-z'.])(?:[A-Za-z] {1,3}){3,}[A-Za-z](?![A-Za-z'])")
_WORDS_APART = re.compile(
    r"(appeals?|petitions?|dismissed|allowed|rejected|granted|quashed|affirmed|acquitted|convicted|hereby|accordingly"
    r"|therefore|must|with|costs|set(?=aside)|aside|is(?!m)|are|be(?!r))",
    re.IGNORECASE,
)
_FATES = (
    "allowed", "dismissed", "discharged", "rejected", "granted", "quashed", "decreed", "remanded", "remitted",
    "affirmed", "upheld", "confirmed", "acquitted", "convicted", "restored", "reversed", "disposed", "appeal",
    "appeals", "petition", "petitions", "contended", "contention", "contentions", "submitted", "submission",
    "argument", "arguments", "question", "whether", "opinion", "judgment", "decision", "justified",
)  # fmt: skip
_LOOSE = {"l": "[l1|]", "i": "[i1!|]", "o": "[o0]", "s": "[s5$]", "a": "[a@]", "e": "[e3]"}


def _loose(word: str) -> str:
    """A word in which one space, or signs that look like letters, may stand ("al lowed", "a1lowed")."""
    return r"[ ]?".join(_LOOSE.get(letter, letter) for letter in word)


# "all owed" is no misprint.
_BROKEN = re.compile(rf"(?<![\w$@])(?!all owed\b)(?:{'|'.join(map(_loose, _FATES))})(?![\w$@])", re.IGNORECASE)
_ODD = re.compile(r"[a-z][0135$@|!][a-z]|[0135$@|!][a-z]{4}", re.IGNORECASE)
_FATE_OF = {fate: re.compile(_loose(fate), re.IGNORECASE) for fate in _FATES}


@dataclass(frozen=True)
class Normalised:
    """A plain copy of a text, and where each of its characters stands in the text."""

    text: str
    """The copy."""
    offsets: Sequence[int]
    """Offset in the text of each character of the copy, and the length of the text at the end."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Half-open offsets in the text of a stretch of the copy, to where the character after it stands."""
        return self.offsets[start], self.offsets[end]

    def replace(self, pattern: re.Pattern[str], by: str | Callable[[re.Match[str]], str]) -> "Normalised":
        """Every match replaced; a replacement's characters stand where the match did, evenly from its beginning."""
        parts: list[str] = []
        offsets: list[int] = []
        at = 0
        for match in pattern.finditer(self.text):
            new = by if isinstance(by, str) else by(match)
            start, end = match.span()
            parts += [self.text[at:start], new]
            offsets += self.offsets[at:start]
            offsets += [self.offsets[start + i * (end - start) // len(new)] for i in range(len(new))]
            at = end
        if not parts:
            return self
        return Normalised(text="".join([*parts, self.text[at:]]), offsets=[*offsets, *self.offsets[at:]])


def plain(text: str) -> Normalised:
    """The text as characters that a pattern matches: no entities, no invisible or full-width characters; whitespace
    stays.

    Accents are taken off Latin letters, and letters of other scripts that look like Latin ones replaced where they
    stand in a Latin word.
    """
    copy = Normalised(text=text, offsets=range(len(text) + 1))
    if "&" in text:
        copy = copy.replace(_ENTITY, lambda match: html.unescape(match.group()))
    if not copy.text.isascii():
        copy = copy.replace(_MIXED, lambda match: match.group().translate(_LOOKALIKES))
        copy = copy.replace(re.compile(r"[^\x00-\x7f]"), lambda match: _ascii(match.group()))
    return copy


def _ascii(character: str) -> str:
    """A character as it is matched; "" for one that is not seen."""
    if unicodedata.category(character) == "Cf":
        return ""
    found = unicodedata.normalize("NFKD", character)
    if found[0].isascii() and found != character:
        return "".join(c for c in found if not unicodedata.combining(c))
    # A combining accent on its own; marks of other scripts are letters.
    return "" if unicodedata.category(character) == "Mn" and character < "\u0370" else character


def normalised(text: str) -> Normalised:
    """As `plain`, with whitespace as single spaces and words put together that OCR or typesetting took apart."""
    copy = plain(text).replace(_APART, _together).replace(_SPACE, " ").replace(_HYPHENATED, "")
    return copy.replace(_BROKEN, _mended) if _may_be_broken(copy.text) else copy


def _may_be_broken(text: str) -> bool:
    """Whether a word stands in the text without its spaces that does not stand in it with them, or has odd letters."""
    lowered = text.lower()
    closed = lowered.replace(" ", "")
    return _ODD.search(text) is not None or any(closed.count(fate) > lowered.count(fate) for fate in _FATES)


def _together(match: re.Match[str]) -> str:
    words = re.split(" {2,}", match.group())
    joined = " ".join(word.replace(" ", "") for word in words)
    return _WORDS_APART.sub(r" \1 ", joined) if len(words) == 1 and len(joined) > 12 else joined


def _mended(match: re.Match[str]) -> str:
    found = match.group()
    if found.isalpha():
        return found
    fate = next(fate for fate, loose in _FATE_OF.items() if loose.fullmatch(found))
    return fate.upper() if found.isupper() else fate.capitalize() if found[0].isupper() else fate
