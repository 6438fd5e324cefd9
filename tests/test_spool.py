"""Spooled records come back as they were put in, from memory and from a file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.errors import UserError
from legalrr.spool import Spool, SpooledRecords


@given(st.lists(st.binary(max_size=40)), st.integers(0, 100))
def test_byte_strings_come_back_in_any_order(strings: list[bytes], memory: int) -> None:
    spool = Spool(memory=memory)
    numbers = [spool.append(one) for one in strings]
    assert numbers == list(range(len(spool)))
    assert [spool[number] for number in reversed(numbers)] == strings[::-1]


def test_a_file_is_made_in_the_folder_when_memory_is_full_and_has_no_name(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "cache", memory=4)
    spool.append(b"four")
    assert not (tmp_path / "cache").exists()
    spool.append(b"more")
    assert list((tmp_path / "cache").iterdir()) == []
    assert (spool[0], spool[1]) == (b"four", b"more")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "file" / "cache", memory=0)
    with pytest.raises(UserError, match=r"^.*/file/cache: "):
        spool.append(b"one")


def test_records_keep_their_order_and_text_of_any_kind() -> None:
    texts = {"b": "half a pair: \ud83d", "a": "line\nline\u2028", "": "\x00é"}
    records = SpooledRecords[str](lambda text: [text], lambda id, value: value[0], recent=1)
    for id, text in texts.items():
        records.add(id, text)
    assert list(records.items()) == list(texts.items())
    assert ("a" in records, "c" in records, len(records)) == (True, False, 3)
    with pytest.raises(KeyError):
        records["c"]
