"""Damaged DocBins and saved datasets end in judgments or in one UserError with the file."""

import random
import zlib
from collections.abc import Iterator

import pytest
import srsly

from legalrr.corpora import bounded_files
from legalrr.corpora.exchange import DocBinFile, SavedDataset, export
from tests.mutations import MUTATIONS, accepted, damaged, mutate_json, mutations


def odd_docbins(inner: bytes, count: int) -> Iterator[bytes]:
    """Yield DocBins with fields of other types."""
    chance, message = random.Random(1), srsly.msgpack_loads(inner)
    for _ in range(count):
        try:
            data = srsly.msgpack_dumps(mutate_json(message, chance))
        except (OverflowError, ValueError):
            # msgpack cannot hold the value.
            continue
        yield zlib.compress(data, 1)


def test_damaged_docbins_end_in_judgments_or_one_line(tmp_path, few):
    file = tmp_path / "r.spacy"
    export(few, file, format="docbin")
    whole, third = file.read_bytes(), MUTATIONS // 3
    inner = zlib.decompress(whole)
    versions = [
        *damaged(whole, 2, count=third),
        *(zlib.compress(one, 1) for one in damaged(inner, 3, count=third)),
        *odd_docbins(inner, MUTATIONS // 2),
    ]
    assert len(versions) > MUTATIONS
    reader = DocBinFile(name="c", file=str(file), scheme="build")
    assert 0 < accepted(file, versions, lambda: list(reader.read(None))) < MUTATIONS


def test_a_docbin_that_inflates_beyond_its_bound_is_refused(write, user_error, monkeypatch):
    monkeypatch.setattr(bounded_files, "SMALL_INFLATED", 1000)
    path = write("r.spacy", zlib.compress(b"\0" * 1_000_000))
    with user_error("r.spacy: inflates to more than"):
        list(DocBinFile(name="c", file=str(path)).read(None))


@pytest.mark.parametrize("name", ["data-00000-of-00001.arrow", "dataset_info.json", "state.json"])
def test_damaged_datasets_end_in_judgments_or_one_line(tmp_path, few, name):
    folder = tmp_path / "d"
    export(few, folder, format="dataset")
    file, reader = folder / name, SavedDataset(name="c", folder=str(folder), scheme="build")
    whole = file.read_bytes()
    versions = mutations(whole, MUTATIONS, lines=False) if name.endswith("json") else damaged(whole, 4)
    # The error names the folder: the libraries do not say which of its files is damaged.
    assert accepted(file, versions, lambda: list(reader.read(None))) < MUTATIONS
