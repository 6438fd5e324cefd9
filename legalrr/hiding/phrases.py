"""Search a text for many phrases at once, and only for those whose words it has.

A list of phrases is one regular expression of alternatives. Most texts match none of them, and most alternatives cannot
match a text, because each of their matches contains one of a few strings that the text lacks. A search for strings is
far faster than a regular expression that scans the text from each of its words.
"""

import re
from collections.abc import Iterator, Sequence
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

# Characters that match ASCII letters when case is ignored, beside those that lower() turns into them.
_FOLDED = {0x130: "i", 0x131: "i", 0x17F: "s"}
_LONG = 5
"""Length above which a longer string is not rarer."""


class Phrases:
    """Case-insensitive alternatives, with the methods `search` and `finditer` of a compiled pattern."""

    def __init__(self, *alternatives: str) -> None:
        """Compile the alternatives, none of which matches an empty text."""
        self.alternatives = alternatives
        self._parts = [(needed_strings(one), re.compile(one, re.IGNORECASE)) for one in alternatives]

    def search(self, text: str) -> re.Match[str] | None:
        """Return the first match in a text, as `re.Pattern.search` does."""
        return next(self.finditer(text), None)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """Yield the matches in a text in order, as `re.Pattern.finditer` does."""
        folded = (text if text.isascii() else text.translate(_FOLDED)).lower()
        parts = [pattern for needed, pattern in self._parts if any(one in folded for one in needed)]
        # The next match of each part; the first of those that start first is the next one of all.
        ahead = [(match.start(), place, match) for place, part in enumerate(parts) if (match := part.search(text))]
        while ahead:
            _, _, found = min(ahead, key=lambda one: one[:2])
            yield found
            end = found.end()
            ahead = [
                (match.start(), place, match)
                for start, place, last in ahead
                if (match := last if start >= end else parts[place].search(text, end))
            ]


def needed_strings(pattern: str) -> frozenset[str]:
    """Return strings in lower case, of which every text that the pattern matches, case ignored, contains at least one.

    If none are known, the result has the empty string, which every text contains.
    """
    return _needed(_parser.parse(pattern, re.IGNORECASE))


def _needed(items: Sequence[Any]) -> frozenset[str]:
    found, run = [frozenset({""})], ""
    for operation, value in _flat(items):
        if operation is _constants.LITERAL:
            run += chr(value).lower()
            continue
        if operation is _constants.BRANCH:
            found.append(frozenset(run + _leading(branch) for branch in value[1]))
            found.append(frozenset[str]().union(*(_needed(branch) for branch in value[1])))
        elif operation in (_constants.MAX_REPEAT, _constants.MIN_REPEAT) and value[0] > 0:
            found.append(_needed(value[2]))
        elif operation is _constants.ASSERT:
            found.append(_needed(value[1]))
        found.append(frozenset({run}))
        # A boundary or a condition is no character.
        run = run if operation in (_constants.AT, _constants.ASSERT_NOT) else ""
    found.append(frozenset({run}))
    return max(found, key=lambda strings: (min(_LONG, *map(len, strings)), -len(strings)))


def _leading(items: Sequence[Any]) -> str:
    """Return the characters with which every match begins."""
    run = ""
    for operation, value in _flat(items):
        if operation is not _constants.LITERAL:
            break
        run += chr(value).lower()
    return run


def _flat(items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the parts of a parsed pattern, those of a group in its place."""
    for operation, value in items:
        if operation is _constants.SUBPATTERN:
            yield from _flat(value[3])
        else:
            yield operation, value
