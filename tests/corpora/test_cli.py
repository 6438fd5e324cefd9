"""The command `legalrr data`."""

import json
import logging

import pytest

from legalrr.cli import run_command
from legalrr.corpora import cli as command
from legalrr.corpora import fetch as module
from legalrr.corpora.catalogue import card
from legalrr.corpora.cli import main
from legalrr.corpora.exchange import DocBinFile, export


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        run_command("data", [str(argument) for argument in arguments])
    assert caught.value.code == 2
    return capsys.readouterr().err


@pytest.fixture
def texts(write, tmp_path):
    write("t/a.txt", "one two three")
    write("t/b.txt", "one two three")
    write("t/c.txt", "one")
    return tmp_path / "t"


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "legalrr data check" in capsys.readouterr().out


def test_list_shows_local_corpora_and_how_to_get_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LEGALRR_DATA", str(tmp_path))
    main(["list"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "specimen 24 24 build" in shown
    assert "legalrr data fetch lawai50" in shown
    main(["list", "--no-count"])
    assert "specimen 24 24 build" not in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_list_counts_the_split_that_is_evaluated(tmp_path, monkeypatch, capsys, write):
    monkeypatch.setenv("LEGALRR_DATA", str(tmp_path))
    write("ildc/ILDC_multi.csv", "text,label,split,name\nx,1,train,a\ny,0,test,b\n")
    main(["list"])
    assert "ildc 1 (test) 1 none" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_fetch_downloads_and_prints_licence_and_citation(tmp_path, monkeypatch, capsys, server):
    server.files = {"LICENSE": b"free\n"}
    server.manifest(tmp_path, "lawai50")
    monkeypatch.setattr(module, "root", lambda: tmp_path)
    monkeypatch.setenv("LEGALRR_DATA", str(tmp_path / "elsewhere"))
    main(["fetch", "lawai50", "--to", str(tmp_path / "to"), "--base-url", server.url])
    output = capsys.readouterr().out
    assert (tmp_path / "to" / "lawai50" / "LICENSE").read_bytes() == b"free\n"
    for words in ("1 files fetched", "licence: MIT", "JURIX 2019", f"LEGALRR_DATA={tmp_path / 'to'}"):
        assert words in output
    monkeypatch.setenv("LEGALRR_DATA", str(tmp_path / "to"))
    main(["fetch", "lawai50", "--base-url", server.url])
    output = capsys.readouterr().out
    assert "0 files fetched, 1 already present" in output
    assert "LEGALRR_DATA" not in output


def test_fetch_reports_an_unknown_corpus_on_one_line(capsys):
    assert refused(capsys, "fetch", "nosuch").count("\n") == 1


def test_check_summarizes_judgments_and_lists_problems(texts, write, capsys):
    main(["check", str(texts), "--layout", "text", "--labels", str(write("l.csv", "id,label\na,1\nb,0\n"))])
    output = capsys.readouterr().out
    assert "judgments   3" in output
    assert "1 allowed, 1 dismissed, 1 none" in output
    assert "1 minimum, 3 median, 3 maximum" in output
    assert "b has the same text as a" in output
    assert "1 of 3 judgments have no label" in output


def test_check_names_judgments_of_a_few_words_and_html_entities(write, tmp_path, capsys):
    for number in range(7):
        write(f"t/{number}.txt", f"Digitally signed by Registrar {number}")
    write("t/long.txt", "The appeal&nbsp;is dismissed. " * 20)
    main(["check", str(tmp_path / "t"), "--layout", "text"])
    output = capsys.readouterr().out
    assert "7 of 8 judgments have fewer than 50 words (0, 1, 2, 3, 4 and 2 more): is each a whole judgment" in output
    assert "1 of 8 judgments have HTML entities such as &nbsp; (long)" in output


def test_check_counts_parties_and_judgments_without_a_party(write, tmp_path, capsys):
    write("t/a.txt", "WRIT PETITION NO. 7 OF 2001\nThe plaintiff fell.")
    write("t/b.txt", "It rained.")
    write("t/c.txt", "The appellant sued the petitioner.")
    main(["check", str(tmp_path / "t"), "--layout", "text"])
    output = capsys.readouterr().out
    assert "party       1 appellant, 1 petitioner, 0 plaintiff, 1 unknown" in output
    assert "1 of 3 judgments do not name the party that came to the court: set corpus.party, or use" in output
    write("t/b.txt", "TITLE SHEET FOR SUITS\nPlaintiff: Kishan Lal")
    main(["check", str(tmp_path / "t"), "--layout", "text"])
    assert "do not name" not in capsys.readouterr().out


def test_check_reads_every_layout(write, tmp_path, task, export, capsys):
    write("m/a.txt", "---\nid: a\noutcome: allowed\n---\n[FAC] x\n")
    write("s/a.txt", "x\tFAC\n")
    labels = write("s.csv", "doc_id,label\na,1\n")
    exported = export(task(1, "Facts.", (0, 6, "FAC")), task(2, "More."))
    outcomes = write("o.csv", "index,id,kind,label,confidence,duplicate_of\n0,1,appeal_or_petition,1,,\n1,2,trial,,,\n")
    table = write("t.jsonl", json.dumps({"text": "Facts.", "y": 1, "s": [[0, 6, "FAC"]]}) + "\n")
    for arguments in (
        ["m", "--layout", "marked", "--scheme", "seven"],
        ["s", "--layout", "sentence-lines", "--labels", labels],
        [exported, "--layout", "label-studio", "--labels", outcomes],
        [
            table,
            "--layout",
            "table",
            "--no-id-column",
            "--label-column",
            "y",
            "--spans-column",
            "s",
            "--scheme",
            "build",
        ],
    ):
        main(
            [
                "check",
                *(str(tmp_path / a) if a in {"m", "s"} else str(a) for a in arguments[:1]),
                *map(str, arguments[1:]),
            ]
        )
        output = capsys.readouterr().out
        assert "1 allowed" in output
        assert "roles       FAC 1" in output
    main(["check", str(exported), "--layout", "label-studio"])
    assert "1 of 2 judgments have no gold roles" in capsys.readouterr().out


def test_check_reads_a_folder_of_pdfs(tmp_path, capsys):
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    with PdfPages(tmp_path / "a.pdf") as book:
        figure = Figure()
        figure.text(0.1, 0.9, "The appeal is dismissed.")
        book.savefig(figure)
    main(["check", str(tmp_path), "--layout", "pdf"])
    assert "words       4 minimum, 4 median, 4 maximum" in capsys.readouterr().out


def test_check_stops_at_the_first_bad_input_with_one_line(write, capsys):
    path = write("t.csv", "id,text,label\na,x,1\na,y,0\n")
    output = refused(capsys, "check", path, "--layout", "table", "--label-column", "label")
    assert output == (f"legalrr data: {path}:3: duplicate id 'a' (every judgment of a corpus needs its own id)\n")


def test_check_rejects_invalid_combinations_of_options(texts, write, capsys):
    assert "--labels is not supported" in refused(capsys, "check", texts, "--layout", "marked", "--labels", "l.csv")
    assert "use --label-column" in refused(capsys, "check", "x.csv", "--layout", "table", "--labels", "l.csv")
    assert "no judgment" in refused(capsys, "check", write("t.csv", "id,text\n"), "--layout", "table")


def test_every_layout_of_the_option_has_a_reader():
    layouts = {"marked", "sentence-lines", "label-studio", "table", "text", "pdf", "dataset", "docbin"}
    assert set(command.LAYOUTS) == layouts


@pytest.mark.parametrize("layout", ["dataset", "docbin"])
def test_check_reads_exported_judgments(tmp_path, capsys, layout):
    judgments = list(card("specimen").reader().read(None))
    export(judgments, tmp_path / "gold", format=layout)
    main(["check", str(tmp_path / "gold"), "--layout", layout])
    output = capsys.readouterr().out
    assert "judgments   24" in output
    assert "roles       none" not in output
    export(judgments, tmp_path / "tagged", format=layout, tagger="crf")
    main(["check", str(tmp_path / "tagged"), "--layout", layout])
    assert "roles       none" in capsys.readouterr().out
    assert "--labels is not supported" in refused(
        capsys, "check", tmp_path / "gold", "--layout", layout, "--labels", "l.csv"
    )


def test_ignored_roles_of_a_tagger_are_logged_on_one_line(tmp_path, caplog):
    judgments = list(card("specimen").reader().read(None))
    export(judgments, tmp_path / "x", format="docbin", tagger="crf")
    with caplog.at_level(logging.INFO):
        list(DocBinFile(name="c", file=str(tmp_path / "x")).read(None))
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("legalrr")]
    assert messages == ["c: ignored the predicted roles of 24 judgments; tagged=true reads them"]


def test_check_guesses_the_layout_and_says_which(texts, capsys):
    main(["check", str(texts)])
    output = capsys.readouterr().out
    assert output.startswith("layout      text, guessed: 3 .txt files without roles (--layout sets another)\n")
    assert "judgments   3" in output
    main(["check", str(texts), "--layout", "text"])
    assert "guessed" not in capsys.readouterr().out


def test_check_takes_options_of_the_corpus_beside_a_path(write, capsys):
    path = write("t.csv", "no,body,won,who\n1,The rent was not paid.,yes,appellant\n")
    assert "set corpus.text_column=body" in refused(capsys, "check", path, "corpus.id_column=no")
    arguments = (
        "corpus.id_column=no",
        "corpus.text_column=body",
        "corpus.label_column=won",
        "corpus.labels={yes: allowed}",
    )
    main(["check", str(path), *arguments, "corpus.party_column=who"])
    output = capsys.readouterr().out
    assert "labels      1 allowed, 0 dismissed, 0 none" in output
    assert "party       1 appellant" in output


def test_check_reads_a_configured_corpus_with_its_options(write, tmp_path, capsys):
    main(["check", "corpus=specimen"])
    assert capsys.readouterr().out.startswith("corpus      specimen\njudgments   24\n")
    write("t.csv", "id,text,label,part\n1,One.,1,train\n2,Two.,0,test\n")
    options = (f"corpus.file={tmp_path / 't.csv'}", "corpus.split_column=part", "corpus.split=test")
    main(["check", "corpus=own_table", *options])
    assert capsys.readouterr().out.startswith("corpus      own_table, split test\njudgments   1\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["corpus=own_text"], "corpus.folder has no value (set corpus.folder=VALUE)"),
        (["corpus=own_docbin"], "corpus.file has no value (set corpus.file=VALUE)"),
        (["corpus=nosuch"], "no corpus 'nosuch'"),
        (["corpus=specimen", "corpus.foldre=x"], "foldre"),
        (["corpus=specimen", "arm=direct"], "not an option of a corpus: 'arm=direct'"),
        (["nowhere"], "no such file or folder"),
    ],
)
def test_check_rejects_what_is_missing_or_unknown_on_one_line(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    message = refused(capsys, "check", *arguments)
    assert words in message
    assert message.count("\n") == 1
