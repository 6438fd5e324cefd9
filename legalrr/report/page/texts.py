"""The texts of a page: a compressed block per judgment, until the page is full.

What is left out is said in the page. A block is JSON, compressed (zlib) and in base64, which the page decompresses when
it is looked at.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from legalrr.progress import progress
from legalrr.report.groups import Report
from legalrr.report.page.conversations import Conversations, Phrases
from legalrr.report.page.judgments import Collection
from legalrr.report.page.sources import read_rows

BATCH = 40
"""Judgments whose rows are held at once."""
MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The blocks of a page."""

    blocks: Mapping[tuple[int, int], str]
    """Number of a collection and place of a judgment in it -> its block in base64."""
    phrases: str
    """Block of the strings that judgments share: a list."""


def pack(value: Any) -> str:
    """A value as a block."""
    return base64.b64encode(zlib.compress(json.dumps(value, separators=(",", ":")).encode("ascii"), 5)).decode("ascii")


def pack_texts(report: Report, gathered: Sequence[Collection], megabytes: float) -> Texts:
    """The texts of as many judgments as fit, those on which arms disagree first, of every collection in turn.

    Args:
        report: where the rows lie.
        gathered: the judgments.
        megabytes: what the blocks may take.

    Raises:
        UserError: a predictions file changed meanwhile.
    """
    room = int(megabytes * MEGABYTE)
    places = [[(number, at) for at in range(len(one.ids))] for number, one in enumerate(gathered)]
    order = [place for round in zip_longest(*places) for place in round if place is not None]
    blocks: dict[tuple[int, int], str] = {}
    phrases = Phrases()
    with progress("report.html", len(order), "judgments") as advance:
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            for place, record in _records(report, gathered, some, phrases):
                block = pack(record)
                room -= len(block)
                if room < 0:
                    return Texts(blocks=blocks, phrases=pack(list(phrases.shared)))
                blocks[place] = block
            advance(len(some))
    return Texts(blocks=blocks, phrases=pack(list(phrases.shared)))


def _records(
    report: Report, gathered: Sequence[Collection], places: Sequence[tuple[int, int]], phrases: Phrases
) -> list[tuple[tuple[int, int], dict[str, Any]]]:
    """What was said about some judgments, in the order of `places`."""
    found = {
        (number, at): Conversations(
            judgment=f"{number} {gathered[number].ids[at]}",
            record=gathered[number].records.get(gathered[number].ids[at]),
            phrases=phrases,
        )
        for number, at in places
    }
    for number, one in enumerate(gathered):
        wanted = {one.ids[at]: at for which, at in places if which == number}
        for cell in one.answers:
            for id, row in read_rows(report.cells[cell], wanted).items():
                found[number, wanted[id]].add(cell, row)
    return [(place, conversations.as_json()) for place, conversations in found.items()]
