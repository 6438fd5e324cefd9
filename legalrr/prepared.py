"""What cells of one process prepare alike: judgments, their roles, and what is shown and asked of each.

The calls that the cells of a sweep share are made before the cells run (`legalrr.together`), which prepares every
judgment of every cell. A `Prepared` that both are given hands this over, so that nothing is prepared twice.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from legalrr.records import Case, Judgment, Segments

ROOM = 200_000_000
"""Characters of shown text and prompts that are kept: one byte each, or two where a text is not Latin-1."""


@dataclass
class Prepared:
    """Kept as long as the sweep lasts; what finds no room is prepared again by the cell that needs it."""

    room: int = ROOM
    """Characters of cases that can still be kept."""
    judgments: dict[Hashable, Mapping[str, Judgment]] = field(default_factory=dict)
    """Identity of a corpus, and split -> its judgments by id."""
    segments: dict[Hashable, dict[str, Segments]] = field(default_factory=dict)
    """What decides the roles -> the roles of judgments by id, of as many as were asked for."""
    cases: dict[Hashable, dict[str, Case]] = field(default_factory=dict)
    """What decides documents and prompts -> cases by id, as far as there was room."""

    def keep(self, key: Hashable, case: Case) -> None:
        """Keep a case, if there is room."""
        size = _characters(case)
        if size <= self.room:
            self.room -= size
            self.cases.setdefault(key, {})[case.judgment.id] = case


def _characters(case: Case) -> int:
    """Characters that a case holds beside the judgment; a string that several turns share counts once."""
    turns = case.prompt.turns if case.prompt.blank is None else (*case.prompt.turns, case.prompt.blank)
    parts = {id(part): len(part) for turn in turns for m in turn.messages for part in m.parts if isinstance(part, str)}
    return sum(parts.values()) + sum(len(block.text) for block in case.document.blocks)
