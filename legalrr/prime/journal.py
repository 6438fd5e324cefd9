"""loss.jsonl: a line per step of a run of priming."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from legalrr.store import write_atomically

NAME = "loss.jsonl"


class Journal:
    """What was learned step by step.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def note(self, line: Mapping[str, Any]) -> None:
        """Append a line; numbers have six significant digits."""
        told = {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in line.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """All whole lines; a torn last one was never written."""
        if not self.path.is_file():
            return []
        return [json.loads(line) for line in self.path.read_bytes().split(b"\n")[:-1]]

    def cut(self, batches: int) -> None:
        """Drop the lines of steps that go beyond so many batches: they are made again after an interruption."""
        kept = [line for line in self.lines() if line["batches"] <= batches]
        write_atomically(self.path, "".join(json.dumps(line) + "\n" for line in kept))
