"""The one exception that a user is meant to see: what is wrong, where, and what to do about it."""


class UserError(Exception):
    """Bad input or an impossible choice; printed as one line, exit status 2.

    Args:
        what: what is wrong, in words of the field ("unknown role 'FACTS'").
        where: file, line, id or option that it is about; "" where there is none.
        cure: what the user can do.
    """

    def __init__(self, what: str, *, where: str = "", cure: str = "") -> None:
        self.what, self.where, self.cure = what, where, cure
        place = f"{where}: " if where else ""
        advice = f" ({cure})" if cure else ""
        super().__init__(" ".join(f"{place}{what}{advice}".split()))

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Survive the way back from a worker process."""
        return (_rebuild, (self.what, self.where, self.cure))


def _rebuild(what: str, where: str, cure: str) -> UserError:
    return UserError(what, where=where, cure=cure)
