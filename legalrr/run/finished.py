"""Cells that have run before: a later run copies their files if nothing has changed that these depend on.

Beside the answers of a backbone, `cells/<key>.json` names the folder of a finished cell and the SHA-256 of its files.
The key is a digest of the judgments with their roles, of all stages and options, of the whole code of this package, and
of the versions of the packages that results depend on. After any change the cell is computed, and so it is if a file of
it has been edited or removed. Deleting the answers deletes these notes too.

Computed each time: baselines, cells with page images or with a meter, those whose refused calls are made again, and
those with a stage of another package, whose code is not known here.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from legalrr.files import AtomicFile, make_folder, sha256, write_atomically
from legalrr.predictions import PREDICTIONS
from legalrr.records import Segments
from legalrr.run.folder import as_json, package_versions
from legalrr.run.pipeline import Pipeline
from legalrr.run.spooled import SelectedJudgments, judgment_to_json, segments_to_json
from legalrr.score.explanation_texts import REFERENCES
from legalrr.stage import digest, digest_of_items
from legalrr.typed_json import load_json

PACKAGE = Path(__file__).parents[1]
"""Folder of this package."""
RECORD, SCORES = "run.json", "scores.json"
FILES = (PREDICTIONS, REFERENCES, RECORD, SCORES)
"""Files of a cell that a note covers; the references may be missing."""
PART = 1 << 20
"""Bytes that are read at once."""


@dataclass(frozen=True, kw_only=True)
class FinishedCell:
    """The note of a cell, which may have run before.

    Raises:
        UserError: by its methods, if a file cannot be written.
    """

    path: Path
    """File of the note."""

    def find(self) -> Path | None:
        """Return the folder of an earlier run whose files are as they were written; None if there is none."""
        try:
            note = load_json(self.path.read_bytes())
            folder = self.path.parent / note["folder"]
            same = _digests(folder) == note["files"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return folder if same else None

    def write(self, folder: Path) -> None:
        """Note that the cell has run, with its results in `folder`."""
        make_folder(self.path.parent)
        place = os.path.relpath(folder, self.path.parent)
        write_atomically(self.path, as_json({"folder": place, "files": _digests(folder)}, indent=2) + "\n")


def may_be_copied(pipeline: Pipeline, judgments: SelectedJudgments) -> bool:
    """Whether an earlier run of a cell may stand for this one."""
    known = all(name.startswith(f"{PACKAGE.name}.") for name in _classes(pipeline.described()))
    pictured = any(one.pictured for one in judgments.facts)
    again = pipeline.settings.retry_errors or pipeline.measure is not None
    return pipeline.predict.needs_backbone and known and not pictured and not again


def finished_cell(pipeline: Pipeline, answers: Path, content: str) -> FinishedCell:
    """Return the note of a cell that may be copied.

    Args:
        pipeline: its stages.
        answers: folder of the backbone's answers.
        content: digest of its judgments with their roles (`content_digest`).
    """
    settings = {k: v for k, v in asdict(pipeline.settings).items() if k not in ("runs", "shard")}
    key = {
        "content": content,
        "settings": settings,
        "stages": pipeline.described(),
        "code": package_digest(),
        "versions": package_versions(),
    }
    return FinishedCell(path=answers / "cells" / f"{digest(key)[:32]}.json")


def _classes(described: object) -> Iterator[str]:
    """Yield the paths of the classes of described stages, also of stages in the fields of others."""
    if isinstance(described, Mapping):
        for name, value in described.items():
            yield from [str(value)] if name == "class" else _classes(value)
    elif isinstance(described, list | tuple):
        for value in described:
            yield from _classes(value)


def content_digest(judgments: SelectedJudgments, segments: Mapping[str, Segments]) -> str:
    """Return the digest of judgments, but for the places of their files, with their roles."""
    return digest_of_items(
        [{**judgment_to_json(one), "source": ""}, segments_to_json(segments[one.id])] for one in judgments
    )


@cache
def package_digest(root: Path = PACKAGE) -> str:
    """Return the digest of all files of a package."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return digest([[path.relative_to(root).as_posix(), sha256(path)] for path in files])


def repeat_cell(earlier: Path, folder: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the files of an earlier run of a cell, scores.json last; return the content of run.json.

    Args:
        earlier: folder of that run.
        folder: folder of this run.
        changes: fields of run.json that are not those of the earlier run.

    Raises:
        UserError: a file cannot be read or written.
    """
    make_folder(folder)
    record: dict[str, Any] = json.loads((earlier / RECORD).read_bytes())
    stored = sum(record["calls"].values())
    record |= {**changes, "calls": {"made": 0, "stored": stored}, "repeats": os.path.relpath(earlier, folder)}
    for name in (PREDICTIONS, REFERENCES):
        if (earlier / name).is_file():
            _copy(earlier / name, folder / name)
    write_atomically(folder / RECORD, as_json(record, indent=2) + "\n")
    write_atomically(folder / SCORES, (earlier / SCORES).read_bytes())
    return record


def _copy(source: Path, target: Path) -> None:
    file = AtomicFile(target)
    try:
        with source.open("rb") as content:
            while part := content.read(PART):
                file.write(part)
        file.finish()
    finally:
        file.discard()


def _digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the files of a cell that are there, by name."""
    return {name: sha256(folder / name) for name in FILES if (folder / name).is_file()}
