import itertools
import os
import tracemalloc
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from legalrr import index_file
from legalrr.index_file import ENTRY, PER_PAGE, DamagedIndexError, IndexFile, Part, merge, write

PARTS = [
    Part(shard=name, start=0, end=10**6, lines=9, check="", modified=1) for name in ("a.jsonl", "b\udcff", "c", "d")
]


def entries(count: int, seed: int = 0) -> Any:
    """Return sorted entries with digests over the whole range, a run of equal ones among them."""
    draw = np.random.default_rng(seed)
    found = np.zeros(count, ENTRY)
    found["digest"] = draw.integers(0, 2**64, count, dtype=np.uint64, endpoint=False)
    found["digest"][: min(count, 400)] = 2**63
    found["digest"][-2:] = 0, 2**64 - 1
    found["start"] = np.arange(count)
    found["part"] = draw.integers(0, len(PARTS), count)
    found["length"] = 5
    return found[np.argsort(found["digest"], kind="stable")]


def opened(*chunks: Any) -> IndexFile:
    file = BytesIO()
    write(file, iter(chunks), PARTS)
    return IndexFile(file, "x")


@pytest.mark.parametrize("count", [2, PER_PAGE, PER_PAGE + 1, 5 * PER_PAGE, 3000])
def test_every_entry_is_found_and_no_other(count: int) -> None:
    given = entries(count)
    file = opened(given[: count // 3], given[count // 3 :])
    assert (file.entries, file.parts) == (count, tuple(PARTS))
    for digest in set(given["digest"].tolist()):
        rows = given[given["digest"] == np.uint64(digest)]
        assert file.find(digest) == [(PARTS[row["part"]], row["start"], row["length"]) for row in rows]
        for other in (digest - 1, digest + 1):
            if 0 <= other < 2**64 and other not in given["digest"]:
                assert file.find(other) == []


def test_writing_keeps_one_chunk_in_memory() -> None:
    """And not all entries: a store has 240 MB of them for 10,000,000 records."""
    chunk = entries(50 * PER_PAGE)
    peaks = []
    with open(os.devnull, "wb") as nowhere:
        for count in (2, 40):
            tracemalloc.start()
            write(nowhere, itertools.repeat(chunk, count), PARTS)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + chunk.nbytes


def test_an_empty_file_has_nothing() -> None:
    file = opened()
    assert file.find(0) == file.find(2**64 - 1) == []
    assert [len(chunk) for chunk in merge([(file, [])])] == [0]


def test_dropped_parts_are_not_found() -> None:
    file = opened(entries(3000))
    file.dropped = {0, 2}
    assert {part.shard for part, _, _ in file.find(2**63)} == {"b\udcff", "d"}


def test_a_merge_is_sorted_complete_and_without_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, "CHUNK", 100)
    one, two, three = entries(3000), entries(2000, seed=1), entries(100, seed=2)
    chunks = list(
        merge(
            [(opened(one), [0, 1, 2, 3]), (opened(two), [4, 5, -1, 6]), (opened(one), [0, 1, 2, 3])], [(three, [7] * 4)]
        )
    )
    merged = np.concatenate(chunks)
    assert len(chunks) > 50
    assert (np.diff(merged["digest"].astype(object)) >= 0).all()
    expected = {tuple(row) for row in one.tolist()}
    expected |= {(d, s, {0: 4, 1: 5, 3: 6}[p], n) for d, s, p, n in two.tolist() if p != 2}
    expected |= {(d, s, 7, n) for d, s, _, n in three.tolist()}
    assert {tuple(row) for row in merged.tolist()} == expected
    # Only of equal digests from three sources, an entry may come twice.
    alone = merged[~np.isin(merged["digest"], np.array([0, 2**63, 2**64 - 1], np.uint64))]
    assert len(alone) == len(np.unique(alone))
    ends = [(chunk["digest"][0], chunk["digest"][-1]) for chunk in chunks if len(chunk)]
    assert all(last < first for (_, last), (first, _) in itertools.pairwise(ends))


def damaged_files() -> Iterator[bytes]:
    """Yield a file with one byte changed, for bytes of every kind, and files cut anywhere."""
    file = BytesIO()
    write(file, [entries(400)], PARTS)
    whole = file.getvalue()
    for at in {*range(0, len(whole), 97), *range(len(whole) - 200, len(whole))}:
        yield whole[:at]
        for by in (1, 0x80):
            yield whole[:at] + bytes([whole[at] ^ by]) + whole[at + 1 :]


def test_any_damage_is_found_when_it_is_read() -> None:
    for data in damaged_files():
        with pytest.raises(DamagedIndexError):
            list(merge([(IndexFile(BytesIO(data), "x"), range(len(PARTS)))]))
