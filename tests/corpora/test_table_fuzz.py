"""Damaged tables end in judgments or in one UserError with file and line."""

import csv
import gzip
import io
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from legalrr.corpora.cli import parse_map
from legalrr.corpora.table import Table
from tests.mutations import MUTATIONS, ODD, accepted, damaged, ends_well, mutate_json, mutations

ROWS = [
    {
        "id": "a",
        "text": "Facts. Order.",
        "label": 1,
        "spans": [[0, 6, "FAC"], {"start": 7, "end": 13, "role": "RPC"}],
        "confidence": "high",
        "party": "appellant",
        "petitioner": "A",
        "court": "B",
        "year": 1999,
        "kind": "civil",
        "split": "train",
    },
    {
        "id": 2,
        "text": "Facts.",
        "label": "0",
        "spans": None,
        "confidence": None,
        "party": None,
        "petitioner": None,
        "court": None,
        "year": "2001.0",
        "kind": None,
        "split": "test",
    },
]
LISTS = [
    {"id": "a", "text": ["Facts.", "Order."], "label": 1, "spans": ["Facts", "RPC"]},
    {"id": "b", "text": ["Facts."], "label": 0, "spans": ["FAC"]},
]
SENTENCES = [
    {"id": number, "text": text, "label": 1, "spans": role}
    for number in (1, 2)
    for text, role in (("Facts.", "FAC"), ("Order.", "RPC"))
]
ALL = {f"{name}_column": name for name in ROWS[0]} | {"scheme": "build"}
ROLES = {"spans_column": "spans", "scheme": "build", "roles": {"Facts": "FAC"}}
KINDS = {
    "judgments": (ROWS, ALL),
    "lists": (LISTS, ROLES),
    "sentences": (SENTENCES, {**ROLES, "rows": "sentences"}),
}
VALUES = ("[]", "[[]]", "[[0,6]]", '[["a"]]', '{"a":1}', "[NaN]", "[" * 3000, "9" * 5000, "[" + "9" * 5000 + "]")
VALUES += ("NaN", '["a"]', '["a",1]', '["' + "[" * 3000, "\u00b2", "\u0661", "1.0", "-1", "=1", "\n", "\r", '"')


def as_lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_csv(rows: Sequence[Mapping[str, Any]], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow([json.dumps(value) if isinstance(value, list) else value for value in row.values()])
    return text.getvalue().encode("utf-8", "replace")


def odd_cells(rows: Sequence[Mapping[str, Any]], delimiter: str) -> Iterator[bytes]:
    """Yield tables with one or two odd cells."""
    chance = random.Random(4)
    for _ in range(MUTATIONS // 2):
        found = [dict(row) for row in rows]
        for _ in range(chance.randint(1, 2)):
            row = chance.choice(found)
            row[chance.choice(list(row))] = chance.choice((*ODD, *VALUES))
        yield as_csv(found, delimiter)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_json_lines_end_in_judgments_or_one_line(tmp_path, kind):
    rows, fields = KINDS[kind]
    file = tmp_path / "t.jsonl"
    table = Table(name="c", file=str(file), **fields)
    versions = mutations(as_lines(rows), MUTATIONS, lines=True)
    assert 0 < accepted(file, versions, lambda: list(table.read(None)), line=True) < MUTATIONS


@pytest.mark.parametrize(("name", "delimiter"), [("t.csv", ","), ("t.tsv", "\t")])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_csv_ends_in_judgments_or_one_line(tmp_path, kind, name, delimiter):
    rows, fields = KINDS[kind]
    file = tmp_path / name
    table = Table(name="c", file=str(file), **fields)
    versions = [*odd_cells(rows, delimiter), *damaged(as_csv(rows, delimiter), 5, count=MUTATIONS // 2)]
    assert 0 < accepted(file, versions, lambda: list(table.read(None)), line=True) < MUTATIONS


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl.gz"])
def test_a_damaged_gzip_file_ends_in_judgments_or_one_line(tmp_path, name):
    file = tmp_path / name
    table = Table(name="c", file=str(file), **ALL)
    packed = gzip.compress(as_csv(ROWS) if "csv" in name else as_lines(ROWS))
    assert accepted(file, damaged(packed, 6), lambda: list(table.read(None))) < MUTATIONS


def test_damaged_parquet_ends_in_judgments_or_one_line(tmp_path):
    file = tmp_path / "t.parquet"
    table = Table(name="c", file=str(file), **ALL)
    texts = ("id", "label", "year", "spans")
    rows = [{**row, **{name: json.dumps(row[name]) for name in texts}} for row in ROWS]
    rows[1] |= {"label": "0", "year": "2001"}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    assert len(list(table.read(None))) == 2
    accepted(file, damaged(file.read_bytes(), 7), lambda: list(table.read(None)))
    chance = random.Random(8)
    written = 0
    for _ in range(MUTATIONS // 2):
        try:
            odd = pyarrow.Table.from_pylist([mutate_json(rows[0], chance), *rows[1:]])
            pyarrow.parquet.write_table(odd, file)
        except (pyarrow.ArrowException, TypeError, OverflowError, ValueError, AttributeError):
            # Values that Parquet cannot hold.
            continue
        written += 1
        ends_well(file, lambda: list(table.read(None)))
    assert written > MUTATIONS // 10


def use_map(text: str, option: str, field: str) -> None:
    Table(name="c", file="t.csv", scheme="build", **{field: parse_map(text, option)})


@pytest.mark.parametrize(
    ("option", "field", "text"),
    [
        ("--labels-map", "labels", b"{0: dismissed, 1: allowed, Partly Allowed: allowed}"),
        ("--roles-map", "roles", b"{Fact: FAC, Ruling: RPC}"),
    ],
)
def test_damaged_maps_end_in_a_mapping_or_one_line(option, field, text):
    extra = (b"&a ", b"*a", b"!!python/object/apply:os.system [ls]", b"2001-99-99", b"? {a: b}", b"<<: *a", b"null")
    maps = [data.decode("utf-8", "surrogateescape") for data in damaged(text, 10, more=extra)]
    read = [ends_well(Path(field, "x"), partial(use_map, one, option, field)) for one in maps]
    assert 0 < sum(read) < MUTATIONS
