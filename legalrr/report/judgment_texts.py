"""Recognize cells that saw different texts under the same ids.

A text edited between two cells changes what the second is asked, so their answers are not paired. run.json has the
digest of all judgments of a cell; only where digests differ are the judgments read.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from legalrr.corpora.bounded_files import parse_json, read_lines
from legalrr.corpora.checks import name_some
from legalrr.errors import UserError
from legalrr.judgment_files import judgments_path, require_digest
from legalrr.report.load import RunResult

log = logging.getLogger(__name__)


def split_by_texts(cells: Sequence[RunResult]) -> tuple[list[list[int]], list[str]]:
    """Divide cells into groups with equal texts.

    Args:
        cells: cells with scores.

    Returns:
        Indices of the cells of each group, in order; and the ids of the judgments with several texts. A cell without a
        record of its judgments, as old runs have none, is in the first group.

    Raises:
        UserError: a file of judgments is damaged, or is not that of its run.
    """
    digests = [_digest(cell) for cell in cells]
    if len(set(filter(None, digests))) < 2:
        return [list(range(len(cells)))], []
    groups: list[list[int]] = []
    known: list[dict[str, str]] = []
    edited: dict[str, None] = {}
    for number, (cell, digest) in enumerate(zip(cells, digests, strict=True)):
        path = None if digest is None else _path(cell)
        texts: Mapping[str, str] = {} if digest is None or path is None else _texts(path, digest)
        home = None
        for at, group in enumerate(known):
            differing = [id for id, text in texts.items() if group.get(id, text) != text]
            edited |= dict.fromkeys(differing)
            if not differing:
                home = at
                break
        if home is None:
            home = len(groups)
            groups.append([])
            known.append({})
        groups[home].append(number)
        known[home] |= texts
    return groups, list(edited)


def describe_edits(edited: Sequence[str]) -> str:
    """Return a line about judgments with several texts; "" for none."""
    if not edited:
        return ""
    what = "1 judgment has" if len(edited) == 1 else f"{len(edited)} judgments have"
    return f"{what} different texts in other cells ({name_some(edited)}), which are not compared; run them again"


def _digest(cell: RunResult) -> str | None:
    found = cell.run.get("judgments")
    digest = found.get("sha256") if isinstance(found, Mapping) else None
    return digest if isinstance(digest, str) else None


def _path(cell: RunResult) -> Path | None:
    """Return the file with the judgments of a cell; None if it is not there."""
    if cell.folder is None:
        return None
    path = judgments_path(cell.folder, cell.run["judgments"].get("file") or "")
    if path.is_file():
        return path
    log.warning("%s: its texts are not compared with those of other cells, as %s is missing", cell.folder, path)
    return None


# The digests of texts are small; reading them again for every report of a session is not.
@lru_cache(maxsize=256)
def _texts(path: Path, digest: str) -> Mapping[str, str]:
    """Return the digest of each judgment's text by id."""
    found: dict[str, str] = {}
    lines = hashlib.sha256()
    for where, line in read_lines(path):
        lines.update(line)
        row = parse_json(line.decode("ascii", "replace"), where=where, cure="run the cell again")
        if not isinstance(row, dict) or not isinstance(row.get("id"), str) or not isinstance(row.get("text"), str):
            raise UserError("not a judgment", where=where, cure="run the cell again")
        found[row["id"]] = hashlib.sha256(row["text"].encode("utf-8", "surrogatepass")).hexdigest()
    require_digest(path, lines.hexdigest(), digest)
    return MappingProxyType(found)
