"""Files with the judgments of cells: one per cell, or one for all cells of a sweep that have the same judgments.

A line is a judgment: its text, and the fields that predictions.jsonl lacks. run.json names the file, relative to the
folder of the cell, and the SHA-256 of its lines.
"""

import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from legalrr.errors import UserError
from legalrr.files import AtomicFile, make_folder
from legalrr.records import Judgment
from legalrr.typed_json import load_json

JUDGMENTS = "judgments.jsonl.gz"
"""File with the judgments of a cell, in the same folder as its predictions."""
SHARED = re.compile(r"(?:\.\./){1,9}judgments-[0-9a-f]{12}\.jsonl\.gz")
"""File with the judgments of several cells, in the folder of their sweep, from that of a cell."""
GZIP = 16 + zlib.MAX_WBITS
"""Format of zlib: gzip, with the largest window."""
INFLATION = 200
"""Largest size of the judgments, as a multiple of their compressed size: text compresses three to ten times."""
SMALL = 1_000_000
"""Size in bytes that is always read."""
RERUN = "run the cell again"


class JudgmentFiles:
    """Writes the judgments of cells; those that several cells of a sweep have in common once."""

    def __init__(self) -> None:
        self._written: list[tuple[Path, Collection[Judgment], str]] = []

    def write(self, folder: Path, judgments: Collection[Judgment], sweep: Path | None = None) -> dict[str, str]:
        """Write the judgments of a cell.

        Args:
            folder: folder of the cell.
            judgments: its judgments; not changed afterwards.
            sweep: folder of its sweep, where the first cell writes the file and the others find it; None: the cell has
                a file of its own.

        Returns:
            Name of the file from `folder`, and the SHA-256 of its lines, as `file` and `sha256`.

        Raises:
            UserError: the file cannot be written.
        """
        make_folder(folder)
        home = None if sweep is None else Path(os.path.abspath(sweep))
        above = Path(os.path.abspath(folder)).parents
        if home is None or home not in above:
            return {"file": JUDGMENTS, "sha256": _write(folder / JUDGMENTS, judgments)}
        sha256 = self._share(home, judgments)
        return {"file": "../" * (list(above).index(home) + 1) + _shared_name(sha256), "sha256": sha256}

    def _share(self, home: Path, judgments: Collection[Judgment]) -> str:
        """Write the file of a sweep, if it is not there; return the SHA-256 of its lines."""
        for place, same, sha256 in self._written:
            if place == home and same is judgments and (home / _shared_name(sha256)).is_file():
                return sha256
        lines = hashlib.sha256()
        for line in _lines(judgments):
            lines.update(line)
        sha256 = lines.hexdigest()
        if not _is_whole(home / _shared_name(sha256), sha256):
            _write(home / _shared_name(sha256), judgments)
        self._written.append((home, judgments, sha256))
        return sha256


def judgments_path(folder: Path, file: str) -> Path:
    """Return the path of the judgments of a cell.

    Args:
        folder: folder of the cell.
        file: `judgments.file` of its run.json; "" in older ones.

    Raises:
        UserError: no run writes a file of this name.
    """
    if file in ("", JUDGMENTS):
        return folder / JUDGMENTS
    if not SHARED.fullmatch(file):
        raise UserError(f"judgments.file {file!r} is no file of judgments", where=str(folder / "run.json"), cure=RERUN)
    return folder.absolute().joinpath(*[".."] * file.count("../")).resolve() / file.rpartition("/")[2]


def read_judgment_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file of judgments; raises UserError if it is missing, damaged or inflates too far."""
    try:
        room = most = max(SMALL, INFLATION * path.stat().st_size)
        with gzip.open(path) as file:
            while line := file.readline(room + 1):
                room -= len(line)
                if room < 0:
                    raise UserError(f"inflates to more than {most} bytes", where=str(path), cure=RERUN)
                yield line
    except FileNotFoundError as error:
        shared = path.name != JUDGMENTS
        raise UserError(
            "cannot read the judgments" + ", which the cells of a sweep share: no such file" * shared,
            where=str(path),
            cure=f"copy {path.name} from the folder of the sweep to {path.parent}" if shared else RERUN,
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError("cannot read the judgments", where=str(path), cure=RERUN) from error


class JudgmentTexts:
    """Texts of the judgments of a cell, read when the first one is asked for; one is in memory at a time.

    Args:
        folder: folder of the cell.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read = self._texts()
        self._id: str | None = None
        self._text = ""

    def of(self, id: str) -> str:
        """Return the text of a judgment; they are asked for in the order of the rows.

        Raises:
            UserError: the file is missing or damaged, or lacks the judgment, or is not that of the run.
        """
        while self._id != id:
            try:
                self._id, self._text = next(self._read)
            except StopIteration:
                raise UserError(
                    "no such judgment, or in another order", where=f"{self._folder}, {id}", cure=RERUN
                ) from None
        return self._text

    def _texts(self) -> Iterator[tuple[str, str]]:
        """Yield id and text of the judgments."""
        record = self._folder / "run.json"
        try:
            found = load_json(record.read_bytes())["judgments"]
            path, sha256 = judgments_path(self._folder, found.get("file", "")), found["sha256"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError("does not name the judgments", where=str(record), cure=RERUN) from error
        lines = hashlib.sha256()
        for number, line in enumerate(read_judgment_lines(path), start=1):
            lines.update(line)
            try:
                row = load_json(line)
                id, text = row["id"], row["text"]
                if not isinstance(text, str):
                    raise TypeError
            except (ValueError, KeyError, TypeError) as error:
                raise UserError("damaged judgment", where=f"{path}:{number}", cure=RERUN) from error
            yield id, text
        require_digest(path, lines.hexdigest(), sha256)


def require_digest(path: Path, digest: str, recorded: str) -> None:
    """Raise UserError unless the lines of a file have the digest that run.json records."""
    if digest != recorded:
        raise UserError("not the judgments of this run: the digest in run.json differs", where=str(path), cure=RERUN)


def _shared_name(sha256: str) -> str:
    return f"judgments-{sha256[:12]}.jsonl.gz"


def _write(path: Path, judgments: Collection[Judgment]) -> str:
    """Write a file of judgments; return the SHA-256 of its lines."""
    lines = hashlib.sha256()
    # Without a time stamp, equal judgments give equal bytes.
    packed = zlib.compressobj(level=6, wbits=GZIP)
    file = AtomicFile(path)
    try:
        for line in _lines(judgments):
            lines.update(line)
            file.write(packed.compress(line))
        file.write(packed.flush())
        file.finish()
    finally:
        file.discard()
    return lines.hexdigest()


def _is_whole(path: Path, sha256: str) -> bool:
    """Whether a file is there and has the lines with this digest."""
    lines = hashlib.sha256()
    try:
        with gzip.open(path) as file:
            while part := file.read(SMALL):
                lines.update(part)
    except (OSError, EOFError, zlib.error):
        return False
    return lines.hexdigest() == sha256


def _lines(judgments: Collection[Judgment]) -> Iterator[bytes]:
    return ((json.dumps(_row(judgment)) + "\n").encode("ascii") for judgment in judgments)


def _row(judgment: Judgment) -> dict[str, Any]:
    spans = judgment.spans
    return {
        "id": judgment.id,
        "text": judgment.text,
        "party": judgment.party,
        "petitioner": judgment.petitioner,
        "group": judgment.group,
        "scheme": judgment.scheme,
        "spans": None if spans is None else [[span.start, span.end, span.role] for span in spans],
    }
