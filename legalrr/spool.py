"""Records in a temporary file without a name, in memory while they are small: for more than memory holds.

The file lies in a given folder, as the folder for temporary files may be in memory, and vanishes with the process.
"""

import json
import tempfile
from array import array
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from legalrr.errors import file_errors

IN_MEMORY = 4 * 2**20
"""Bytes from which on records are written to a file."""
RECENT = 32
"""Number of records that stay parsed."""
T = TypeVar("T")


class Spool:
    """Byte strings, by number.

    Args:
        folder: where the file is made; None: the folder for temporary files.
        memory: bytes that are kept in memory before it is made.
    """

    def __init__(self, folder: Path | None = None, *, memory: int = IN_MEMORY) -> None:
        self._folder = folder
        self._memory = memory
        self._file: IO[bytes] = BytesIO()
        self._ends = array("q", [0])
        self._on_disk = False

    def __len__(self) -> int:
        """Number of byte strings."""
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> bytes:
        """Return a byte string; raises UserError if the file cannot be read."""
        start, end = self._ends[number], self._ends[number + 1]
        with file_errors(self._folder):
            self._file.seek(start)
            return self._file.read(end - start)

    def append(self, data: bytes) -> int:
        """Add a byte string and return its number; raises UserError if it cannot be written, as on a full disk."""
        end = self._ends[-1]
        with file_errors(self._folder):
            if not self._on_disk and end + len(data) > self._memory:
                self._move_to_disk()
            self._file.seek(end)
            self._file.write(data)
        self._ends.append(end + len(data))
        return len(self) - 1

    def _move_to_disk(self) -> None:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        assert isinstance(self._file, BytesIO)
        file.write(self._file.getbuffer())
        self._file, self._on_disk = file, True


class SpooledRecords(Mapping[str, T], Generic[T]):
    """Records by id, in the order in which they were added.

    Args:
        encode: returns a record as JSON values.
        decode: returns the record with an id from its JSON values.
        folder: as for `Spool`.
        recent: number of records that stay parsed.
    """

    def __init__(
        self,
        encode: Callable[[T], Any],
        decode: Callable[[str, Any], T],
        folder: Path | None = None,
        *,
        recent: int = RECENT,
    ) -> None:
        self._encode = encode
        self._decode = decode
        self._spool = Spool(folder)
        self._numbers: dict[str, int] = {}
        self._read = lru_cache(maxsize=recent)(self._read_record)

    def __getitem__(self, id: str) -> T:
        """Return a record; the same record is not always the same object. Raises KeyError."""
        return self._read(id)

    def __contains__(self, id: object) -> bool:
        """Whether there is a record with this id."""
        return id in self._numbers

    def __iter__(self) -> Iterator[str]:
        """Yield the ids."""
        return iter(self._numbers)

    def __len__(self) -> int:
        """Number of records."""
        return len(self._numbers)

    def add(self, id: str, record: T) -> None:
        """Add a record with a new id; raises UserError if it cannot be written."""
        assert id not in self._numbers
        content = json.dumps(self._encode(record), ensure_ascii=False, separators=(",", ":"))
        self._numbers[id] = self._spool.append(content.encode("utf-8", "surrogatepass"))

    def _read_record(self, id: str) -> T:
        data = self._spool[self._numbers[id]]
        return self._decode(id, json.loads(data.decode("utf-8", "surrogatepass")))
