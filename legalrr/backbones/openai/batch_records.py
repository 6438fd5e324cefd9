"""Records of batches that a server works on: a killed run finds them in the folder of stored answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from legalrr.errors import UserError, file_errors
from legalrr.files import make_folder, write_atomically
from legalrr.stage import digest
from legalrr.typed_json import load_json, parse

FOLDER = "batches"


@dataclass(frozen=True, kw_only=True)
class BatchRecord:
    """A batch whose answers are not all stored."""

    url: str
    """Base URL of the server."""
    file: str
    """Id of the file with the requests at the server."""
    batch: str | None
    """Id of the batch; None: it was about to be made when this was written."""
    endpoint: str
    """Path of its requests."""
    keys: Sequence[str]
    """Keys of the calls whose answers were not collected."""


class BatchRecords:
    """Records in the folder of a store; without a folder, none is kept.

    Args:
        folder: folder of the store.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder / FOLDER

    def read(self) -> Iterator[BatchRecord]:
        """Yield all records; raises UserError for a damaged file."""
        for path in [] if self._folder is None else sorted(self._folder.glob("*.json")):
            try:
                yield parse(BatchRecord, load_json(path.read_bytes()))
            except FileNotFoundError:
                # Another process has just collected that batch.
                continue
            except ValueError as error:
                raise UserError(
                    f"damaged record of a batch: {error}",
                    where=str(path),
                    cure="delete the file: the calls of that batch will be made, and paid, again",
                ) from error

    def write(self, record: BatchRecord) -> None:
        """Write a record, or delete it if all its answers were collected; raises UserError if that is impossible."""
        path = self.path(record)
        if path is None:
            return
        if not record.keys:
            with file_errors(path):
                path.unlink(missing_ok=True)
            return
        make_folder(path.parent)
        write_atomically(path, json.dumps(asdict(record), indent=2) + "\n")

    def path(self, record: BatchRecord) -> Path | None:
        """Return the file of a record."""
        return None if self._folder is None else self._folder / f"{digest([record.url, record.file])[:16]}.json"
