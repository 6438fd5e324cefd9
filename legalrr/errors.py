"""The one exception meant for users: what is wrong, where, and how to fix it."""

from legalrr.printable import one_line


class UserError(Exception):
    """Bad input or an invalid choice; printed as one line without control characters, with exit status 2.

    Args:
        what: the error ("unknown role 'FACTS'").
        where: file, line, id or option concerned; "" for none.
        cure: how to fix it.
    """

    def __init__(self, what: str, *, where: str = "", cure: str = "") -> None:
        self.what, self.where, self.cure = what, where, cure
        place = f"{where}: " if where else ""
        advice = f" ({cure})" if cure else ""
        super().__init__(one_line(" ".join(f"{place}{what}{advice}".split())))

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Pickle for the return from a worker process."""
        return (_rebuild, (self.what, self.where, self.cure))


def _rebuild(what: str, where: str, cure: str) -> UserError:
    return UserError(what, where=where, cure=cure)
