"""Reads what the page shows beside scores: the judgments of a run folder, and rows of its predictions, by id."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from legalrr.errors import UserError
from legalrr.predictions import PREDICTIONS, Prediction
from legalrr.report.cells import Cell
from legalrr.score.answered import JUDGMENTS, reread
from legalrr.verdict import VerdictReader

Record = Mapping[str, Any]
"""A judgment as judgments.jsonl.gz has it."""


def read_judgments(cells: Sequence[Cell]) -> dict[int, Mapping[str, Record]]:
    """Number of each cell that has them -> its judgments by id; cells with the same judgments share one mapping.

    Cells of an earlier version have none, and are left out.

    Raises:
        UserError: a damaged file.
    """
    found: dict[int, Mapping[str, Record]] = {}
    known: dict[str, Mapping[str, Record]] = {}
    for number, cell in enumerate(cells):
        stated = cell.run.get("judgments")
        if cell.folder is None or not isinstance(stated, dict):
            continue
        digest = str(stated.get("sha256"))
        if digest not in known:
            known[digest] = _judgments(cell.folder / JUDGMENTS)
        found[number] = known[digest]
    return found


def read_rows(cell: Cell, ids: Iterable[str]) -> dict[str, Prediction]:
    """Rows of a finished cell's predictions.jsonl, of those ids that it has, with the verdicts of the cell's reading;
    raises UserError if the file changed."""
    assert cell.folder is not None
    assert cell.answers is not None
    path = cell.folder / PREDICTIONS
    reader = VerdictReader(reading=cell.setup.reading or "strict") if cell.reread and cell.setup else None
    rows: dict[str, Prediction] = {}
    with path.open("rb") as file:
        for id in ids:
            place = cell.answers.places.get(id)
            if place is None:
                continue
            file.seek(place[0])
            try:
                row = json.loads(file.read(place[1]))
            except ValueError as error:
                raise UserError("changed while it was read", where=str(path), cure="report again") from error
            where = f"{path}, {id}"
            found = Prediction.from_json(row, where=where)
            rows[id] = reread(found, reader, where=where) if reader else found
    return rows


def _judgments(path: Path) -> Mapping[str, Record]:
    try:
        lines = gzip.decompress(path.read_bytes()).splitlines()
        return {record["id"]: record for record in map(json.loads, lines)}
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise UserError("cannot read the judgments", where=str(path), cure="run the cell again") from error
