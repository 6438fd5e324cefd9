"""Normalize text for pattern matching, with offsets into the original.

A verdict written with soft hyphens, zero-width spaces, HTML entities, full-width or spaced letters reads like any other
verdict. Patterns are matched on a normalized copy; the text itself never changes.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,31});")
# Letters of other scripts that look like Latin letters; replaced in words that also have Latin letters.
_LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u0501\u04bb\u0410\u0412\u0415\u041a\u041c\u041d"
    "\u041e\u0420\u0421\u0422\u0425\u03bf\u03b1\u03bd\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f"
    "\u03a1\u03a4\u03a5\u03a7",
    "aeopcyxisjdhABEKMHOPCTXoavABEZHIKMNOPTYX",
)
_MIXED_SCRIPTS = re.compile(r"\b(?=\w*[A-Za-z])(?=\w*[\u0370-\u052f])\w+\b")
_WHITESPACE = re.compile(r"\s+")
# "dis- missed": a word hyphenated at a line break.
_HYPHENATED = re.compile(r"(?<=[a-z])- (?=[a-z])")
# "d i s m i s s e d": four or more spaced letters; words are separated by wider gaps or not at all.
_SPACED_LETTERS = re.compile(r"(?<![A-Za-z'.])(?:[A-Za-z] {1,3}){3,}[A-Za-z](?![A-Za-z'])")
_JOINED_WORDS = re.compile(
    r"(appeals?|petitions?|dismissed|allowed|rejected|granted|quashed|affirmed|acquitted|convicted|hereby|accordingly"
    r"|therefore|must|with|costs|set(?=aside)|aside|is(?!m)|are|be(?!r))",
    re.IGNORECASE,
)
_OUTCOME_WORDS = (
    "allowed", "dismissed", "discharged", "rejected", "granted", "quashed", "decreed", "remanded", "remitted",
    "affirmed", "upheld", "confirmed", "acquitted", "convicted", "restored", "reversed", "disposed", "appeal",
    "appeals", "petition", "petitions", "contended", "contention", "contentions", "submitted", "submission",
    "argument", "arguments", "question", "whether", "opinion", "judgment", "decision", "justified",
)  # fmt: skip
_CONFUSABLES = {"l": "[l1|]", "i": "[i1!|]", "o": "[o0]", "s": "[s5$]", "a": "[a@]", "e": "[e3]"}


def _misprint_pattern(word: str) -> str:
    """Return a pattern of a word that allows one space between letters and look-alikes ("al lowed", "a1lowed")."""
    return r"[ ]?".join(_CONFUSABLES.get(letter, letter) for letter in word)


# "all owed" is not a misprint.
_MISPRINTED = re.compile(
    rf"(?<![\w$@])(?!all owed\b)(?:{'|'.join(map(_misprint_pattern, _OUTCOME_WORDS))})(?![\w$@])", re.IGNORECASE
)
_ODD_CHARACTER = re.compile(r"[a-z][0135$@|!][a-z]|[0135$@|!][a-z]{4}", re.IGNORECASE)
_MISPRINT_PATTERNS = {word: re.compile(_misprint_pattern(word), re.IGNORECASE) for word in _OUTCOME_WORDS}


@dataclass(frozen=True)
class NormalizedText:
    """A normalized copy of a text and the original offset of each of its characters."""

    text: str
    """The normalized copy."""
    offsets: Sequence[int]
    """Original offset of each character of the copy, then the length of the original."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return half-open original offsets of a span of the copy, up to the original offset of the next character."""
        return self.offsets[start], self.offsets[end]

    def replace(self, pattern: re.Pattern[str], by: str | Callable[[re.Match[str]], str]) -> "NormalizedText":
        """Replace every match; the characters of a replacement get offsets spread evenly over the match."""
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
        return NormalizedText(text="".join([*parts, self.text[at:]]), offsets=[*offsets, *self.offsets[at:]])


def fold_characters(text: str) -> NormalizedText:
    """Decode entities, remove invisible characters and fold letters to ASCII; keep whitespace.

    Folding removes accents and full-width forms, and replaces letters of other scripts that look like Latin letters
    within a Latin word.
    """
    copy = NormalizedText(text=text, offsets=range(len(text) + 1))
    if "&" in text:
        copy = copy.replace(_ENTITY, lambda match: html.unescape(match.group()))
    if not copy.text.isascii():
        copy = copy.replace(_MIXED_SCRIPTS, lambda match: match.group().translate(_LOOKALIKES))
        copy = copy.replace(re.compile(r"[^\x00-\x7f]"), lambda match: _fold_character(match.group()))
    return copy


def _fold_character(character: str) -> str:
    """Fold one character; return "" for an invisible one."""
    if unicodedata.category(character) == "Cf":
        return ""
    found = unicodedata.normalize("NFKD", character)
    if found[0].isascii() and found != character:
        return "".join(c for c in found if not unicodedata.combining(c))
    # Drop a combining accent on its own; marks of other scripts are letters.
    return "" if unicodedata.category(character) == "Mn" and character < "\u0370" else character


def normalize(text: str) -> NormalizedText:
    """Fold characters, collapse whitespace, and rejoin words that OCR or typesetting broke."""
    copy = (
        fold_characters(text).replace(_SPACED_LETTERS, _join_letters).replace(_WHITESPACE, " ").replace(_HYPHENATED, "")
    )
    return copy.replace(_MISPRINTED, _correct_misprint) if _may_have_misprints(copy.text) else copy


def _may_have_misprints(text: str) -> bool:
    """Return whether removing spaces reveals more outcome words, or a word contains a digit or sign."""
    lowered = text.lower()
    spaceless = lowered.replace(" ", "")
    return _ODD_CHARACTER.search(text) is not None or any(
        spaceless.count(word) > lowered.count(word) for word in _OUTCOME_WORDS
    )


def _join_letters(match: re.Match[str]) -> str:
    """Join spaced letters to words."""
    words = re.split(" {2,}", match.group())
    joined = " ".join(word.replace(" ", "") for word in words)
    return _JOINED_WORDS.sub(r" \1 ", joined) if len(words) == 1 and len(joined) > 12 else joined


def _correct_misprint(match: re.Match[str]) -> str:
    """Return the outcome word of a misprint in the same case; keep a word of letters only."""
    found = match.group()
    if found.isalpha():
        return found
    word = next(word for word, pattern in _MISPRINT_PATTERNS.items() if pattern.fullmatch(found))
    return word.upper() if found.isupper() else word.capitalize() if found[0].isupper() else word
