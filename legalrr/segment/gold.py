"""The roles that a corpus comes with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from legalrr.errors import UserError
from legalrr.records import Judgment, Segments


@dataclass(frozen=True, kw_only=True)
class GoldSegmenter:
    """Gives a judgment's gold spans as they are."""

    VERSION: ClassVar[int] = 1

    name: str = "gold"
    """Name in tables."""
    stored: ClassVar[bool] = False
    """Nothing is computed, so nothing is kept."""
    needs_gold: ClassVar[bool] = True
    """Judgments without gold roles are left out, and counted."""

    def provenance(self) -> Mapping[str, Any]:
        """Nothing beyond the fields: the spans belong to the judgment, whose content is in the key of every record."""
        return {}

    def segment(self, judgment: Judgment) -> Segments:
        """The gold spans; raises UserError for a judgment without them."""
        if judgment.spans is None or judgment.scheme is None:
            raise UserError(
                "no gold roles",
                where=f"{judgment.source}: {judgment.id}" if judgment.source else judgment.id,
                cure="let a tagger find them: segment=crf",
            )
        return Segments(id=judgment.id, scheme=judgment.scheme, spans=judgment.spans)
