"""What only looks like the text of a judgment."""

import io
import json
import logging
import zipfile

import pytest

from legalrr.cli import run_command
from legalrr.corpora.cli import main
from legalrr.corpora.files import describe_doubt, is_html, latin_share
from legalrr.corpora.table import Table
from legalrr.corpora.text import SentenceLines, TextFolder

FRAGMENT = '<h2 class="t">A vs B</h2>\n<p id="p_1">1. Leave&nbsp;granted.</p><p id="p_2">2. Allowed.</p>\n'
PAGE = "<!DOCTYPE html>\n<html><body>The appeal is allowed.</body></html>"
HINDI = "यह जमानत प्रार्थना पत्र प्रार्थी की ओर से प्रस्तुत किया गया है। प्रार्थना पत्र स्वीकार किया जाता है। " * 3
CONTENTS = {
    "fragment of a page": (FRAGMENT, "HTML"),
    "page": (PAGE, "HTML"),
    "tags as entities": ("&lt;p&gt;The appeal is allowed.&lt;/p&gt;", "HTML"),
    "line breaks": ("The appeal<br>is allowed.<br/>", "HTML"),
    "XML": ('<?xml version="1.0"?><doc>The appeal is allowed.</doc>', "HTML or XML"),
    "RTF": ("{\\rtf1\\ansi The appeal is allowed.}", "RTF"),
    "CSV": ('id,text,label\n1,"The appeal is allowed, with costs.",1\n', "CSV"),
    "CSV of semicolons": ("id;doc;verdict\n1;The appeal is allowed;1\n", "CSV"),
    "index of pandas": (",Text,Label\n0,The appeal is allowed.,1\n", "CSV"),
    "JSON lines": ('{"id": 1, "text": "The appeal is allowed."}\n', "JSON"),
    "JSON": ('[\n {\n  "text": "The appeal is allowed."\n }\n]', "JSON"),
}


def docx() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("word/document.xml", "<w:document/>")
    return content.getvalue()


@pytest.mark.parametrize("case", CONTENTS)
def test_a_file_that_is_not_plain_text_is_refused_with_a_cure(tmp_path, write, user_error, case):
    content, kind = CONTENTS[case]
    write("a.txt", content)
    with user_error("a.txt", f"not plain text but {kind}", "("):
        list(TextFolder(name="c", folder=str(tmp_path)).read(None))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (docx(), ".docx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 old Word", ".doc"),
        (b"{\\rtf1 x}", "RTF"),
        (b"%PDF-1.7\nx", "PDF"),
        (b"PAR1 x", "Parquet"),
    ],
)
def test_the_signature_of_a_file_is_recognized(tmp_path, write, user_error, content, kind):
    write("a.txt", content)
    for corpus in (TextFolder, SentenceLines):
        with user_error("a.txt", "not plain text but", kind):
            list(corpus(name="c", folder=str(tmp_path)).read(None))


def test_utf16_without_a_byte_order_mark_is_refused(tmp_path, write, user_error):
    write("a.txt", "The appeal fails.".encode("utf-16-le"))
    with user_error("a.txt", "zero byte at character 1"):
        list(TextFolder(name="c", folder=str(tmp_path)).read(None))


def test_html_in_a_column_is_refused_with_its_line(write, user_error):
    rows = [{"id": 1, "text": "The appeal fails."}, {"id": 2, "text": FRAGMENT}]
    path = write("t.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    with user_error("t.jsonl:2, judgment 2", "HTML"):
        list(Table(name="t", file=str(path), label_column=None).read(None))


def test_segment_tag_refuses_html(write, capsys):
    with pytest.raises(SystemExit) as caught:
        run_command("segment", ["tag", str(write("a.html", FRAGMENT))])
    assert caught.value.code == 2
    assert "HTML" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "The appeal fails. <script>alert(1)</script>",
        "The claim of < 5 % and > 2 % is <i>sub judice</i>.",
        "Text, label and outcome of the case.\nHe said, she said.",
        "Ram, Shyam\nHari, Om",
        "[1973] 2 SCR 541",
        "{A} The appeal fails.",
        "A & B v. C; held: a<b and b>c.",
    ],
)
def test_text_with_signs_of_markup_is_read(tmp_path, write, text):
    write("a.txt", text)
    [found] = TextFolder(name="c", folder=str(tmp_path)).read(None)
    assert found.text == text


def test_another_script_is_named_in_the_log_and_by_check(tmp_path, write, caplog, capsys):
    write("a.txt", HINDI)
    write("b.txt", HINDI + "2")
    with caplog.at_level(logging.WARNING):
        list(TextFolder(name="c", folder=str(tmp_path)).read(None))
    [record] = caplog.records
    assert "judgment a: 100% of its letters are not Latin (Devanagari)" in record.getMessage()
    assert "English text only" in record.getMessage()
    assert "Judgments not in English: 2 of 2 (a, b)" in record.getMessage()
    main(["check", str(tmp_path), "--layout", "text"])
    assert "2 of 2 judgments are not in English (a, b)" in capsys.readouterr().out


def test_the_share_of_latin_letters_counts_letters_of_all_scripts():
    assert latin_share("Section 13 \u2013 \u00e9t\u00e9 \u201cx\u201d" * 9) == 1
    assert latin_share("न्याय") == 1  # too short to tell
    assert latin_share("abcdefghij" + "अ" * 10) == 0.5
    assert "Cyrillic" in describe_doubt("суд отклонил жалобу заявителя " * 2)
    assert describe_doubt("yah jamanat prarthna patra prarthi ki or se " * 20) == "it does not read like English"
    assert describe_doubt("The appeal of the tenant is dismissed in the end. " * 20) is None


def test_no_real_judgment_is_refused_or_doubted(real):
    import gzip

    with gzip.open(real / "inabs" / "full.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    assert not any(is_html(text) or describe_doubt(text) for text in texts)
