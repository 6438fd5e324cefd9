"""Damaged configurations of corpora and manifests end in a reader or in one UserError with the file."""

import pytest

from legalrr.corpora import fetch
from legalrr.corpora.catalogue import card
from legalrr.errors import UserError
from tests.mutations import MUTATIONS, accepted, damaged

CONFIG = b"""# A comment
meta:
  what: my judgments
  licence: mine
  citation: none
  get: at hand
_target_: legalrr.corpora.table.Table
name: mine
file: t.csv
files: null
labels: {0: dismissed, Won: allowed}
roles:
  Fact: FAC
spans_column: spans
scheme: build
"""
ODD = (b"${", b"${a}", b"${oc.env:HOME}", b"&a ", b"*a", b"!!python/object/apply:os.system [ls]", b"???", b"null")
ODD += (
    b"a: 2001-99-99\n",
    b"\n- x\n",
    b"{a: " * 500,
    b"<<: 1\n",
    b"? [a]\n",
    b"_target_: os.path\n",
    b"defaults: [x]\n",
)


def test_damaged_configurations_end_in_a_reader_or_one_line(tmp_path):
    file = tmp_path / "corpus" / "mine.yaml"
    file.parent.mkdir()
    file.write_bytes(CONFIG)
    versions = damaged(CONFIG, 1, more=ODD)

    def read() -> None:
        try:
            card("mine", [tmp_path]).reader()
        except UserError as error:
            # The option stands for the file that its name is.
            if error.where.startswith(("corpus=mine", "corpus ")):
                raise UserError(error.what, where=f"{file}: {error.where}", cure=error.cure) from error
            raise

    assert 0 < accepted(file, versions, read) < MUTATIONS


def test_damaged_manifests_end_in_entries_or_one_line(tmp_path, monkeypatch):
    file = tmp_path / "data" / "manifests" / "mine.csv"
    file.parent.mkdir(parents=True)
    monkeypatch.setattr(fetch, "root", lambda: tmp_path)
    source = fetch.Source(name="mine", url="http://localhost")
    whole = b"path,git_blob_sha1,bytes\na/b.txt," + b"0a" * 20 + b",12\nc.txt," + b"1f" * 20 + b",0\n"

    def read() -> None:
        for entry in source.manifest():
            inside = (tmp_path / "to" / entry.path).resolve()
            assert inside.is_relative_to((tmp_path / "to").resolve())
            assert entry.size >= 0

    versions = damaged(whole, 2, more=(b"../", b"/", b"..", b"-", b"1e5", b"\xc2\xb2"))
    assert 0 < accepted(file, versions, read, line=True) < MUTATIONS


@pytest.mark.parametrize("path", ["../a", "/a", "a/../../b", ""])
def test_a_manifest_with_a_path_outside_the_corpus_is_rejected(tmp_path, monkeypatch, user_error, path):
    file = tmp_path / "data" / "manifests" / "mine.csv"
    file.parent.mkdir(parents=True)
    file.write_text(f"path,git_blob_sha1,bytes\n{path},{'0a' * 20},1\n")
    monkeypatch.setattr(fetch, "root", lambda: tmp_path)
    with user_error("mine.csv:2", "path", "below the folder"):
        fetch.Source(name="mine", url="http://localhost").manifest()
