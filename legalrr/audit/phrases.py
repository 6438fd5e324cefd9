"""Lists in words."""

from collections.abc import Sequence


def listed(parts: Sequence[str], last: str = "and") -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}" if parts else ""


def numbers(values: Sequence[int]) -> str:
    """Sorted whole numbers, those in a row as a range: "1 to 3 or 7"."""
    parts: list[list[int]] = []
    for value in values:
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return listed([str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts], "or")
