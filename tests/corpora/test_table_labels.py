"""Labels as tables have them: numbers with decimals, words, and mappings in yaml and on the command line."""

import csv
import json

import pyarrow
import pyarrow.parquet
import pytest
from omegaconf import OmegaConf

from legalrr.configuration import compose
from legalrr.corpora.cli import main
from legalrr.corpora.table import Table
from legalrr.corpora.text import TextFolder
from legalrr.protocols import Corpus
from legalrr.stage import build

WORDS = "id,text,label\na,One.,Allowed\nb,Two.,Dismissed\nc,Three.,Partly Allowed\n"
MAP = "{Allowed: allowed, Dismissed: dismissed, Partly Allowed: allowed}"


def outcomes(corpus):
    return [judgment.outcome for judgment in corpus.read(None)]


def test_whole_numbers_with_decimals_are_labels_in_every_file(tmp_path, write):
    path = write("t.csv", "id,text,label\na,One.,1.0\nb,Two.,0.0\nc,Three.,\n")
    assert outcomes(Table(name="t", file=str(path))) == ["allowed", "dismissed", None]
    rows = [{"id": key, "text": "One.", "label": label} for key, label in (("a", "1.0"), ("b", 0.0))]
    path = write("t.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert outcomes(Table(name="t", file=str(path))) == ["allowed", "dismissed"]
    write("j/a.txt", "One.")
    labels = write("labels.csv", "id,label\na,1.0\n")
    assert outcomes(TextFolder(name="c", folder=str(tmp_path / "j"), labels=str(labels))) == ["allowed"]


@pytest.mark.parametrize("plus", ["", "+"])
@pytest.mark.parametrize("number", ["2", "2.0"])
def test_numbers_are_keys_of_a_mapping_on_the_command_line(write, plus, number):
    path = write("t.csv", f"id,text,label\na,One.,{number}\nb,Two.,0\n")
    mapping = "labels={0: dismissed, 1: allowed, 2: allowed}"
    config = compose(overrides=["corpus=own_table", f"corpus.file={path}", f"{plus}corpus.{mapping}"])
    assert outcomes(build(config.corpus, Corpus, option="corpus")) == ["allowed", "dismissed"]


def test_words_are_keys_of_a_mapping_on_the_command_line(write):
    path = write("t.csv", WORDS)
    config = compose(overrides=["corpus=own_table", f"corpus.file={path}", f"corpus.labels={MAP}"])
    assert outcomes(build(config.corpus, Corpus, option="corpus")) == ["allowed", "dismissed", "allowed"]
    single = [f"+corpus.labels.{word}=allowed" for word in ("Allowed", "Dismissed")]
    path = write("two.csv", "id,text,label\na,One.,Allowed\nb,Two.,Dismissed\n")
    config = compose(overrides=["corpus=own_table", f"corpus.file={path}", *single])
    assert outcomes(build(config.corpus, Corpus, option="corpus")) == ["allowed"] * 2


def test_numbers_are_keys_of_a_mapping_in_yaml(write):
    path = write("t.csv", "id,text,label\na,One.,2\nb,Two.,0\n")
    node = f"_target_: legalrr.corpora.table.Table\nname: t\nfile: {path}\nlabels: {{0: dismissed, 2: allowed}}\n"
    assert outcomes(build(OmegaConf.create(node), Corpus, option="corpus")) == ["allowed", "dismissed"]


def test_a_null_mapping_is_an_empty_one(write):
    node = {"_target_": "legalrr.corpora.table.Table", "name": "t", "file": "x", "labels": None, "files": None}
    built = build(OmegaConf.create(node), Corpus, option="corpus")
    assert built == Table(name="t", file="x")


def test_files_of_splits_are_a_mapping_on_the_command_line(write):
    path = write("t.csv", "id,text,label\na,One.,1\n")
    config = compose(
        overrides=["corpus=own_table", "corpus.file=null", f"corpus.files={{test: {path}}}", "corpus.split=test"]
    )
    assert outcomes(build(config.corpus, Corpus, option="corpus")) == ["allowed"]


def test_an_unknown_label_names_a_form_that_works(tmp_path, write, user_error):
    path = write("t.csv", WORDS)
    with user_error("t.csv:2", "label 'Allowed'", "corpus.labels={Allowed: allowed, ...}", "--labels-map"):
        outcomes(Table(name="t", file=str(path)))
    odd = write("odd.csv", 'id,text,label\na,One.,"Allowed, in part"\n')
    with user_error(r"corpus.labels={Allowed\, in part: allowed, ...}"):
        outcomes(Table(name="t", file=str(odd)))
    config = compose(
        overrides=["corpus=own_table", f"corpus.file={odd}", r"corpus.labels={Allowed\, in part: allowed}"]
    )
    assert outcomes(build(config.corpus, Corpus, option="corpus")) == ["allowed"]
    write("j/a.txt", "One.")
    labels = write("labels.csv", "id,label\na,won\n")
    with user_error("labels.csv:2", "label 'won'", "write 1 for allowed and 0 for dismissed"):
        outcomes(TextFolder(name="c", folder=str(tmp_path / "j"), labels=str(labels)))


def test_check_takes_a_mapping_of_labels(write, capsys, user_error):
    arguments = ["check", str(write("t.csv", WORDS)), "--layout", "table", "--label-column", "label"]
    main([*arguments, "--labels-map", MAP])
    assert "2 allowed, 1 dismissed, 0 none" in capsys.readouterr().out
    for wrong in ("allowed", "{Allowed: [allowed]}", "{"):
        with user_error("--labels-map", "no mapping", "write '{KEY: VALUE, ...}'"):
            main([*arguments, "--labels-map", wrong])
    with user_error("cannot mean 'won'"):
        main([*arguments, "--labels-map", "{Allowed: won}"])


NULLS = ["None", "null", "NA", "nan", "NaN", "N/A", "none", "NULL"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_null_words_are_texts_in_every_format(tmp_path, suffix):
    rows = [{"id": word, "text": f"The appeal of {word} is heard.", "court": word, "label": word} for word in NULLS]
    path = tmp_path / f"t.{suffix}"
    save(rows, path)
    labels = dict.fromkeys(NULLS, "allowed")
    found = list(Table(name="c", file=str(path), court_column="court", labels=labels).read(None))
    assert [one.id for one in found] == NULLS
    assert [one.court for one in found] == NULLS
    assert {one.outcome for one in found} == {"allowed"}


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_the_nan_of_a_table_is_a_blank_and_not_a_word(tmp_path, suffix, user_error):
    nan = float("nan")
    rows = [{"id": "a", "text": "Heard.", "court": nan, "label": nan, "part": nan}]
    save([{**rows[0], "text": "Heard."}], tmp_path / f"t.{suffix}")
    [one] = Table(name="c", file=str(tmp_path / f"t.{suffix}"), court_column="court", split_column="part").read(None)
    assert (one.court, one.outcome, one.split) == (None, None, None)
    save([{**rows[0], "id": nan}], tmp_path / f"u.{suffix}")
    with user_error("empty id"):
        list(Table(name="c", file=str(tmp_path / f"u.{suffix}")).read(None))


def test_true_and_false_are_labels_in_a_mapping_of_the_command_line(tmp_path, write):
    path = write("t.csv", "id,text,label\na,One.,True\nb,Two.,false\nc,Three.,FALSE\n")
    labels = "corpus.labels={true: allowed, false: dismissed}"
    overrides = ["corpus=own_table", f"corpus.file={path}", labels]
    reader = build(compose(overrides=overrides).corpus, Table, option="corpus")
    assert [one.outcome for one in reader.read(None)] == ["allowed", "dismissed", "dismissed"]


def save(rows, path):
    """Write rows as a table in the format of the file name."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
