"""Define `UserError`, the exception meant for users, and make text of any origin safe to display.

Names and texts come from files of others. A newline in a name starts a line of its own in a log or a LaTeX file, an
escape character starts a command to the terminal, and XML does not allow either: `printable` and `one_line` make
control characters visible.
"""

import logging

# Unicode has pictures of control characters. C1 characters, which some terminals obey, have none. UTF-8 cannot encode
# surrogates, and XML allows neither them nor the last two characters of the plane.
_REPLACEMENTS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"}
_REPLACEMENTS |= {0x7F: 0x2421} | dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], 0xFFFD)

_BREAKS = {ord(character): 0x2400 + ord(character) for character in "\t\n\r"}
_LINE_SEPARATORS = dict.fromkeys([0x85, 0x2028, 0x2029], 0x2424)
# They reorder what follows, also beyond the end of the name.
_BIDIRECTIONAL = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
_ONE_LINE = _REPLACEMENTS | _BREAKS | _LINE_SEPARATORS | _BIDIRECTIONAL


LONGEST = 450
"""Most characters of the error, of the place and of the cure in a message."""


def printable(text: str) -> str:
    """Replace control characters by their Unicode pictures and surrogates by U+FFFD, one for one; keep line breaks."""
    return text.translate(_REPLACEMENTS)


def one_line(text: str) -> str:
    """Replace as `printable` does, and also tabs, line breaks and controls of the text direction, one for one."""
    return text.translate(_ONE_LINE)


def printable_lines(text: str) -> str:
    """Apply `one_line` to each line of a text whose lines end in a newline."""
    return "\n".join(map(one_line, text.split("\n")))


class OneLineFormatter(logging.Formatter):
    """Formats a message as one line, so that no name in it looks like another line of the log."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line of a record; a traceback follows in lines of its own."""
        record.message = one_line(record.message)
        return super().formatMessage(record)


class UserError(Exception):
    """Bad input or an invalid choice; printed as one line without control characters, with exit status 2.

    Args:
        what: the error ("unknown role 'FACTS'").
        where: file, line, id or option concerned; "" for none.
        cure: how to fix it.
    """

    def __init__(self, what: str, *, where: str = "", cure: str = "") -> None:
        self.what, self.where, self.cure = _shorten(what), _shorten(where), _shorten(cure)
        what, where, cure = self.what, self.where, self.cure
        place = f"{where}: " if where else ""
        advice = f" ({cure})" if cure else ""
        super().__init__(one_line(" ".join(f"{place}{what}{advice}".split())))

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Pickle for the return from a worker process."""
        return (_rebuild, (self.what, self.where, self.cure))


def _shorten(text: str) -> str:
    """Leave out the middle of a text that quotes a long value."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 100]} ... {text[-90:]}"


def _rebuild(what: str, where: str, cure: str) -> UserError:
    return UserError(what, where=where, cure=cure)
