r"""Text and tables in LaTeX: escapes, an upper bound of the width of a text, and tables that fit a page.

Widths are in points, of Computer Modern at 10 pt. Tables are set in `\small`, which is 9 pt in an article of 10 pt,
10 pt in one of 11 pt (its text is 15 pt wider) and 10.95 pt in one of 12 pt (45 pt wider). A table that fits by these
widths fits all three. Lengths are written in em, so that they follow the size of the text.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from legalrr.errors import one_line

TEXT_WIDTH = 345.0
"""Width of the text of an article in one column, in points."""
SPAN_WIDTH = 452.0
"""Width of both columns of an article in two columns (`table*`) on A4 paper, in points; 469 on letter paper."""
COLUMN_SPACE = 12.0
r"""Space of a column beside its text: `\tabcolsep` on each side."""
ESCAPES = MappingProxyType(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        **{character: "\\" + character for character in "&%$#_{}"},
    }
)
"""Special character of LaTeX, or character that its default fonts lack -> its escape."""
# After a line break LaTeX reads these as its argument.
_ROW_START = re.compile(r"^\s*[\[*]")
_WIDTHS = MappingProxyType(
    {
        character: width
        for width, characters in (
            (2.78, "!',.:;[]`il|"),
            (3.34, " -fj"),
            (3.95, "()Irst"),
            (4.45, "cez"),
            (5.0, '"$*/0123456789\\^_ago{}~?'),
            (5.28, "Jkqvxy"),
            (5.56, "Sbdhnpu"),
            (6.25, "LZ"),
            (6.81, "EFP"),
            (7.37, "BCRTw"),
            (7.78, "&+<=>@ADHKNOQUVXY"),
            (8.34, "#%Gm"),
            (9.17, "M"),
            (10.28, "W"),
        )
        for character in characters
    }
)
"""Character -> its width in cmr10, rounded up."""
_OTHER = 10.3
"""Width of a character that cmr10 lacks: at least that of a letter as wide as it is high."""
BOLD = 1.27
"""Largest ratio of the widths of a character in bold and upright type."""
_PART = re.compile(r"[^/_.:,;-]*[/_.:,;-]*")


def latex_line(text: str) -> str:
    """Make a line of text for a comment in LaTeX: control characters are spaces, as most fonts lack their pictures."""
    return "".join(" " if new != old else old for old, new in zip(text, one_line(text), strict=True))


def escape_latex(text: str) -> str:
    """Escape the special characters of LaTeX; control characters become spaces."""
    return "".join(ESCAPES.get(character, character) for character in latex_line(text))


def text_width(text: str) -> float:
    """Return an upper bound of the width of a text on one line, in points."""
    return sum(_WIDTHS.get(character, _OTHER) for character in text)


def breakable(text: str, width: float) -> str:
    """Escape a text, with places for a line break in words wider than `width`: after punctuation, else anywhere."""
    words = latex_line(text).split(" ")
    return " ".join(escape_latex(word) if text_width(word) <= width else _break(word, width) for word in words)


def _break(word: str, width: float) -> str:
    parts: list[str] = []
    for part in filter(None, _PART.findall(word)):
        parts += [part] if text_width(part) <= width else list(part)
    return r"\allowbreak{}".join(map(escape_latex, parts))


def column_groups(widths: Sequence[float], keys: int, limit: float, space: float = COLUMN_SPACE) -> list[list[int]]:
    """Split the columns of a table into as few groups as fit a width, about as wide as each other.

    Args:
        widths: Width of the text of each column.
        keys: Number of first columns that name a row, and that each group repeats.
        limit: Width of a group.
        space: Space of a column beside its text.

    Returns:
        Groups of column numbers, each with the keys first; a column that is too wide is alone in a group.
    """
    groups = _fill(widths, keys, limit, space)
    while True:
        widest = max(sum(widths[column] + space for column in group) for group in groups)
        narrower = _fill(widths, keys, widest - 1e-6, space)
        if len(narrower) > len(groups) or narrower == groups:
            return groups
        groups = narrower


def _fill(widths: Sequence[float], keys: int, limit: float, space: float) -> list[list[int]]:
    """Fill groups with columns, from left to right."""
    groups: list[list[int]] = []
    named = sum(widths[:keys]) + keys * space
    room = 0.0
    for column in range(keys, len(widths)):
        needed = widths[column] + space
        if not groups or needed > room:
            groups.append(list(range(keys)))
            room = limit - named
        groups[-1].append(column)
        room -= needed
    return groups or [list(range(keys))]


def row(cells: Iterable[str]) -> str:
    """Join escaped cells to a row of a tabular."""
    text = " & ".join(cells) + r" \\"
    return "{}" + text if _ROW_START.match(text) else text


def box(text: str, width: float, *, head: bool = False, right: bool = False) -> str:
    r"""Escape a text; one that is wider than `width` is a `\parbox` of that width, with several lines.

    Args:
        text: Text of a cell.
        width: Width of the cell, in points.
        head: Whether it is the head of a column: its last line is that of the row, not its first.
        right: Whether its lines are aligned right.
    """
    if text_width(text) <= width:
        return escape_latex(text)
    ragged = r"\raggedleft" if right else r"\raggedright"
    return rf"\parbox[{'b' if head else 't'}]{{{ems(width)}}}{{{ragged} {breakable(text, width)}\strut}}"


def ems(width: float) -> str:
    """Return a width in em, rounded down."""
    return f"{int(10 * width) / 100:.2f}em"


@dataclass(frozen=True, kw_only=True)
class Tabular:
    """A table of strings that fits the text of an article."""

    header: Sequence[str]
    """Names of the columns."""
    rows: Sequence[Sequence[str]]
    """Cells, row by row."""
    numeric: Sequence[bool]
    """Whether each column is numeric, and thus aligned right."""

    def render(self) -> str:
        """Render as tabulars with the rules of booktabs, one below the other.

        A table that is too wide has heads of several lines. If it still is, it is split into groups of columns, which
        each repeat the first columns: those before the first numeric one, at most two. Cells wider than a third of the
        text have several lines.
        """
        columns = range(len(self.header))
        keys = min(2, max(1, self.numeric.index(True) if True in self.numeric else 2), len(self.header))
        widest = min(TEXT_WIDTH / 3, TEXT_WIDTH / (keys + 1) - COLUMN_SPACE)
        cells = [max((text_width(row[column]) for row in self.rows), default=0.0) for column in columns]
        heads = [text_width(head) for head in self.header]
        words = [max(map(text_width, latex_line(head).split(" "))) for head in self.header]
        for least in (heads, words):
            widths = [min(widest, max(cells[column], least[column])) for column in columns]
            groups = column_groups(widths, keys, TEXT_WIDTH)
            if len(groups) == 1:
                break
        return "\\par\\medskip\\noindent\n".join(self._tabular(group, widths) for group in groups)

    def _tabular(self, columns: Sequence[int], widths: Sequence[float]) -> str:
        alignment = "".join("r" if self.numeric[column] else "l" for column in columns)
        head = row(box(self.header[one], widths[one], head=True, right=self.numeric[one]) for one in columns)
        body = (row(box(cells[one], widths[one]) for one in columns) for cells in self.rows)
        lines = [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
        return "\n".join([*lines, r"\end{tabular}"]) + "\n"
