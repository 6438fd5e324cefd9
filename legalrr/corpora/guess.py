"""Guess the layout of judgments from the names of the files and the beginning of a text."""

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from legalrr.corpora.bounded_files import read_lines, translate_read_errors
from legalrr.corpora.files import TABLE_SUFFIXES, list_text_files, natural_sort_key
from legalrr.errors import UserError

LAYOUTS = ("marked", "sentence-lines", "label-studio", "table", "text", "pdf", "dataset", "docbin")
"""Names of the layouts."""
_FILES = {**dict.fromkeys(TABLE_SUFFIXES, "table"), ".json": "label-studio", ".spacy": "docbin"}
_DATASET = ("dataset_info.json", "dataset_dict.json", "state.json")
_LINES = 200
_SENTENCE = re.compile(rb".*\S.*\t[^\t]{1,60}")
_LEAST_SENTENCES = 0.8


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A layout and why it was guessed."""

    layout: str
    """One of `LAYOUTS`."""
    reason: str
    """What speaks for it."""


def guess_layout(path: Path) -> Guess:
    """Guess the layout of a file or folder.

    Raises:
        UserError: nothing there, or nothing that a reader reads, or files of several layouts.
    """
    with translate_read_errors(path):
        if path.is_dir():
            return _guess_folder(path)
        if not path.exists():
            raise UserError("no such file or folder", where=str(path), cure="correct the path")
    for suffix, layout in _FILES.items():
        if path.name.lower().endswith(suffix):
            return Guess(layout=layout, reason=f"a {suffix} file")
    if path.suffix.lower() in (".txt", ".pdf"):
        raise UserError("a single judgment", where=str(path), cure=f"name its folder, {path.parent}")
    known = ", ".join((*_FILES, "or a folder of .txt or .pdf files"))
    raise UserError("no layout has such a file", where=str(path), cure=f"name {known}")


def _guess_folder(path: Path) -> Guess:
    names = sorted(one.name for one in path.iterdir() if not one.is_dir())
    if found := [name for name in names if name in _DATASET]:
        return Guess(layout="dataset", reason=f"a folder with {found[0]}")
    texts, pdfs = ([name for name in names if name.lower().endswith(suffix)] for suffix in (".txt", ".pdf"))
    if texts and pdfs:
        raise UserError(f"{len(texts)} .txt and {len(pdfs)} .pdf files", where=str(path), cure="--layout text or pdf")
    if pdfs:
        return Guess(layout="pdf", reason=f"{len(pdfs)} .pdf files")
    if not texts and (tables := [name for name in names if name.lower().endswith(tuple(_FILES))]):
        raise UserError("a folder of tables or exports", where=str(path), cure=f"name one file, as {path / tables[0]}")
    # The reader names files in sub-folders; here only its error is needed, if there is no file.
    first = path / min(texts, key=natural_sort_key) if texts else list_text_files(path)[0]
    lines = [line.rstrip(b"\r\n") for _, line in islice(read_lines(first), _LINES)]
    count = f"{len(texts)} .txt file{'s' if len(texts) > 1 else ''}"
    if lines and lines[0] == b"---":
        return Guess(layout="marked", reason=f"{count}, the first with a header")
    if lines and sum(1 for line in lines if _SENTENCE.fullmatch(line)) >= _LEAST_SENTENCES * len(lines):
        return Guess(layout="sentence-lines", reason=f"{count}, the first with lines SENTENCE<TAB>ROLE")
    return Guess(layout="text", reason=f"{count} without roles")
