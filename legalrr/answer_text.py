"""The plain text of an answer: without markup, tokens and invisible characters, with the way back to the answer.

Letters are in compatibility form (NFKC: full-width ones are plain); tags, LaTeX and special tokens are gone. What names
an answer by its form (`\\boxed{}`, `<answer>`, a box of tokens) reads `final answer:` here.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

NAMED = "\nfinal answer: "
"""What stands for a mark of form that names the answer."""
USER, ASSISTANT = "\ue000", "\ue001"
"""Where a turn of the user, or of the model, begins; no answer has these characters."""

_ANSWER_TAG = r"(?:final[_ -]?)?(?:answer|verdict|prediction|decision|conclusion|output|response|result|solution|label)"
_BAR = r"[|\uff5c]"
_PIECES = {
    USER: r"<\|im_start\|>\s*(?:user|system|tool)\b|<\|start_header_id\|>\s*(?:user|system)\s*<\|end_header_id\|>"
    rf"|<start_of_turn>\s*user\b|<\|start\|>\s*(?:user|system)\b|<{_BAR}(?:user|system){_BAR}>|\[INST\]|<<SYS>>",
    ASSISTANT: r"<\|(?:im_end|eot_id|endoftext|end_of_text|end|return)\|>|</s>|<(?:eos|end_of_turn)>"
    rf"|<{_BAR}end\u2581of\u2581sentence{_BAR}>"
    r"|<\|im_start\|>\s*(?:assistant|model)\b|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>"
    rf"|<start_of_turn>\s*model\b|<\|start\|>\s*assistant\b|<{_BAR}assistant{_BAR}>|\[/INST\]",
    NAMED: rf"<\s*{_ANSWER_TAG}\s*>|<\|(?:begin_of_box|begin_of_solution|START_RESPONSE)\|>|\[BEGIN FINAL RESPONSE\]"
    r"|\\+(?:boxed|fbox|framebox)\s*\{",
    "": r"(?<!\w)/(?:no_?)?think\b|~~[^~\n]*~~|<(?P<gone>del|strike)>.*?</(?P=gone)>",
    "\n": rf"<{_BAR}[^<>|\uff5c\n]{{1,40}}{_BAR}>|<(?:s|bos|start_of_turn)>|\[END FINAL RESPONSE\]"
    r"|<</SYS>>|\\n(?=\\|(?-i:[A-Z])|\W|\Z)|<!--.*?-->",
    "*": r"</?(?:b|i|u|em|strong|span|font|mark|small|big|code|tt|kbd|sup|sub|ins)(?:\s[^<>\n]*)?/?>"
    r"|\\+(?:text|math|mathbb|emph|underline|bf|rm|it)(?:bf|rm|it|tt|sf|sc|up|normal)?\b\s*\{?|(?<![^\W_])_+|_+(?![^\W_])",
    # Any other tag, but `<YES>`.
    "\n\n": r"</?(?!(?:yes|no)\b)[a-z][\w:.-]*(?:\s[^<>\n]*)?/?>",
    " ": r"\\+(?:quad|qquad|,|;|!)|_",
}
_PATTERN = re.compile(
    "|".join(f"(?P<p{number}>{piece})" for number, piece in enumerate(_PIECES.values()))
    + r"|(?P<entity>&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8});)",
    re.IGNORECASE | re.DOTALL,
)
# NFKC would make "No" of the numero sign, and full stops of dots that lead on.
_KEPT = {"\u2116": "#", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00b4": "'"}


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A plain copy of a text."""

    text: str
    """The copy."""
    places: tuple[tuple[int, int], ...]
    """Character of the copy -> offsets in the original of what it stands for."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Offsets in the original of a stretch of the copy that is not empty."""
        return self.places[start][0], self.places[end - 1][1]


def plain(text: str, kept: Iterable[tuple[int, int]]) -> Plain:
    """The plain copy of the stretches `kept` of a text, each on lines of its own."""
    letters: list[str] = []
    places: list[tuple[int, int]] = []
    for start, end in kept:
        for piece, place in (
            [("\n", (start, start)), *_pieces(text, start, end)] if letters else _pieces(text, start, end)
        ):
            letters.append(piece)
            places += [place] * len(piece)
    return Plain(text="".join(letters), places=tuple(places))


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[str, tuple[int, int]]]:
    at = start
    stands = list(_PIECES)
    for match in _PATTERN.finditer(text, start, end):
        yield from _characters(text, at, match.start())
        if match["entity"]:
            known = html.unescape(match[0])
            yield "".join(map(_letter, known)), match.span()
        else:
            number = next(number for number in range(len(stands)) if match[f"p{number}"] is not None)
            yield stands[number], match.span()
        at = match.end()
    yield from _characters(text, at, end)


def _characters(text: str, start: int, end: int) -> Iterator[tuple[str, tuple[int, int]]]:
    for at in range(start, end):
        letter = _letter(text[at])
        if letter:
            yield letter, (at, at + 1)


def _letter(letter: str) -> str:
    """A character as the copy has it; "" for one that cannot be seen."""
    if letter.isascii():
        return letter
    if letter in _KEPT:
        return _KEPT[letter]
    if unicodedata.category(letter) in ("Cf", "Co", "Cs") or "\ufe00" <= letter <= "\ufe0f":
        return ""
    return unicodedata.normalize("NFKC", letter)
