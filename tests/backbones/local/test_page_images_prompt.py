"""A run from a folder of PDFs to scores, with a tiny model that reads page images."""

import json

import pytest
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from PIL import Image

from legalrr.cli import main
from legalrr.sent_messages import read_restored

FACTS = "The appellant bought a field of five acres.\nThe respondent built a wall on it."
VERDICT = "For these reasons the appeal is allowed with costs."


@pytest.fixture
def folder(tmp_path):
    """A folder with a.pdf and b.pdf (two pages of facts, one of the verdict) and scan.pdf (three images)."""
    place = tmp_path / "pdfs"
    place.mkdir()
    for name, colour in {"a": "black", "b": "blue"}.items():
        with PdfPages(place / f"{name}.pdf") as book:
            for text in (FACTS, "The wall stood for ten years.\nNobody lived there.", VERDICT):
                figure = Figure(figsize=(4, 3))
                figure.text(0.1, 0.5, text, fontsize=7, color=colour)
                book.savefig(figure)
    pages = [Image.new("RGB", (40, 60), (90 * n, 0, 0)) for n in range(3)]
    pages[0].save(place / "scan.pdf", save_all=True, append_images=pages[1:], resolution=72)
    (place / "labels.csv").write_text("id,label\na,1\nb,0\nscan,1\n")
    return place


@pytest.fixture
def run(folder, seeing, run_hydra):
    """Run `legalrr` on the folder; return exit status, standard output and standard error."""

    def command(*arguments, model=None):
        mine = (
            "corpus=own_pdf",
            f"corpus.folder={folder}",
            f"corpus.labels={folder}/labels.csv",
            "corpus.input=images",
            "corpus.dpi=20",
            "segment=crf",
            "backbone=local",
            f"backbone.model={model or seeing('qwen3_vl')}",
            "score.resamples=99",
            "score.permutations=99",
            "annotate.tokens={analysis: 3, ratio: 3, ruling: 3, answer: 3}",
        )
        return run_hydra(main, "legalrr", *arguments, *mine)

    return command


def rows(folder):
    return {row.id: row.to_json() for row in read_restored(folder)}


def cells(tmp_path):
    """The cell folders of the only sweep, by arm."""
    (sweep,) = (tmp_path / "runs/sweep").iterdir()
    done = [path.parent for path in sweep.glob("*/run.json")]
    return {json.loads((cell / "run.json").read_text())["cell"]["arm"]: cell for cell in done}


def test_arms_show_pages_without_hidden_text_and_moving_sentences_is_refused(run, folder, tmp_path, no_network):
    arms = "c,direct,direct_compare,direct_calibrated,r,r_order"
    status, _, err = run("-m", f"arm={arms}", "restructure.last_pages_hidden=2")
    assert status == 2
    assert "order=role needs the text of a judgment" in err
    assert "use an arm without R, or corpus.input=text" in err
    found = cells(tmp_path)
    assert set(found) == {"c", "direct", "direct_compare", "direct_calibrated"}
    for cell in found.values():
        read = rows(cell)
        assert {id: [page["number"] for page in row["pages"]["shown"]] for id, row in read.items()} == {
            "a": [1, 2],
            "b": [1, 2],
            "scan": [1],
        }
        assert [page["number"] for page in read["a"]["pages"]["hidden"]] == [3]
        assert [page["number"] for page in read["scan"]["pages"]["hidden"]] == [2, 3]
        assert {page["dpi"] for row in read.values() for page in row["pages"]["shown"]} == {20}
        assert all(row["turns"][-1]["finish_reason"] != "overflow" for row in read.values())
        (shown,) = [m["content"] for m in read["a"]["messages"] if isinstance(m["content"], list)]
        images = [part for part in shown if part["type"] == "image"]
        assert images == [{"type": "image", **page} for page in read["a"]["pages"]["shown"]]
    compared = rows(found["direct_compare"])
    # They differ only in colour, which only a vision model can distinguish.
    assert compared["a"]["turns"][0]["prompt_tokens"] == compared["b"]["turns"][0]["prompt_tokens"]
    assert compared["a"]["p_allowed"] != compared["b"]["p_allowed"]
    record = json.loads((found["c"] / "run.json").read_text())
    assert record["stages"]["corpus"]["fields"]["dpi"] == 20
    assert record["cell"]["corpus"] == "own_pdf (page images)"
    assert str(folder) not in (found["c"] / "predictions.jsonl").read_text()
    # Shared prefixes of the arms were computed once, by the prefetch.
    assert any(turn["cached_tokens"] for row in rows(found["c"]).values() for turn in row["turns"])


@pytest.mark.parametrize("layout", ["study", "judgment_first"])
def test_other_layouts_show_pages_and_a_second_run_calls_nothing(run, tmp_path, layout):
    asked = ("arm=dc", f"annotate.layout={layout}", "restructure.last_pages_hidden=1")
    assert run(*asked, "hydra.run.dir=runs/first")[0] == 0
    status, out, _ = run(*asked, "hydra.run.dir=runs/second")
    assert status == 0
    assert "model calls: 0 made, 12 from the store" in out
    shown = [m["content"] for m in rows(tmp_path / "runs/second")["a"]["messages"] if isinstance(m["content"], list)]
    assert [sum(part["type"] == "image" for part in content) for content in shown] == [2]


def test_a_scan_without_last_pages_hidden_and_pages_beyond_the_context_are_refused(run):
    status, _, err = run("arm=direct")
    assert status == 2
    assert "scan.pdf: scanned: the pages of the verdict cannot be located" in err
    assert "set restructure.last_pages_hidden" in err
    status, _, err = run("arm=direct", "restructure.last_pages_hidden=0", "restructure.budget=30")
    assert status == 2
    assert "pages of" in err
    assert "restructure.overflow=middle or skip" in err


LOCKED = (
    b"%%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\n"
    b"4 0 obj<</Filter/Standard/V 1/R 2/O<%b>/U<%b>/P -4>>endobj\n"
    b"trailer<</Root 1 0 R/Size 5/Encrypt 4 0 R/ID[<41><41>]>>\n%%%%EOF" % (b"41" * 32, b"41" * 32)
)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty file"), (b"%PDF-1.7 nothing", "damaged PDF"), (LOCKED, "encrypted: requires a password")],
)
def test_a_broken_pdf_is_named(run, folder, content, words):
    (folder / "c.pdf").write_bytes(content)
    status, _, err = run("arm=direct", "restructure.last_pages_hidden=0")
    assert status == 2
    assert f"c.pdf: {words}" in err


def test_a_text_only_model_is_refused_before_any_call(run, family, tmp_path):
    status, _, err = run("arm=direct", model=family("qwen3_vl"))
    assert status == 2
    assert "reads no images of pages" in err
    assert "corpus.input=text" in err
    assert not (tmp_path / "runs" / "cache").exists()
