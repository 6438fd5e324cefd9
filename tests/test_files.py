import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from legalrr.files import write_atomically


def test_atomic_write_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("a long old content")
    write_atomically(path, "neu é\n")
    assert path.read_bytes() == "neu é\n".encode()
    assert list(tmp_path.iterdir()) == [path]


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=12))
def test_json_reads_back_any_text_including_surrogates(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.json"
        write_atomically(path, json.dumps({text: text}, ensure_ascii=False))
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        assert json.loads(path.read_text(encoding="utf-8")) == {whole: whole}


def test_other_formats_show_a_surrogate_as_its_escape(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x.csv", "a,\ud800\n")
    assert (tmp_path / "x.csv").read_text(encoding="utf-8") == "a,\\ud800\n"
