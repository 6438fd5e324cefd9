"""Brackets that look like role markers of another spelling."""

import pytest

from legalrr.corpora.marked import Marked, find_misspelt_marker, parse_marked
from legalrr.roles import BUILD, SEVEN

HEAD = "---\nid: rent-1\n---\n[FAC] The appellant is a tenant.\n\n"


@pytest.mark.parametrize(
    "marker",
    [
        "[ARG-PETITIONER]",
        "[ARG PETITIONER]",
        "[Facts]",
        "[facts]",
        "[ RPC ]",
        "[RPC ]",
        "[Rpc]",
        "[RPC:]",
        "[R.P.C.]",
        "[FAC 1]",
        "[RulingByPresentCourt]",
        "[Ruling by Present Court]",
        "[Arguments of the Petitioner]",
        "[Final Decision]",
        "[Verdict]",
        "[Conclusion]",
        "\uff3bRPC\uff3d",
        "\u3010RPC\u3011",
    ],
)
@pytest.mark.parametrize("roles", [BUILD, SEVEN], ids=["build", "seven"])
def test_a_marker_of_another_spelling_is_named_with_its_line(user_error, roles, marker):
    with user_error("f:6", f"{marker} is not a role of the scheme {roles.name!r}", "[RPC]"):
        parse_marked(f"{HEAD}{marker} The appeal is dismissed.\n", roles=roles, source="f")


@pytest.mark.parametrize(
    "text", ["He left. [ RPC ] Dismissed.", "He left. [Facts] He stayed.", "He left [ARG-PETITIONER] x"]
)
def test_a_misspelt_marker_within_a_paragraph_is_found(text):
    assert find_misspelt_marker(text, 0) is not None


@pytest.mark.parametrize(
    "text",
    [
        "[1973] 2 SCR 541",
        "[T]he appeal",
        "[Th]e appeal",
        "[See para 5]",
        "[See]",
        "[sic]",
        "[Sic]",
        "[Emphasis supplied]",
        "[emphasis supplied]",
        "[iii] a third point",
        "[She] was served",
        "[being] the tenant",
        "[section 20(3)]",
        "[AIR 1950 SC 27]",
        "[Vide Abdul Rahim vs Emperor(1)]",
        "[Now converted into Criminal Appeal]",
        "[Sd/-]",
        "[The Chief Justice]",
        "the [facts] of the case",
        "the duty of the [Court] to",
        "he sold it to\n[Ramesh] on the day",
        "he [none] of it",
    ],
)
def test_brackets_of_judgments_are_text(text):
    assert find_misspelt_marker(f"\n\n{text}\n", 0) is None
    body = f"{HEAD}1. {text}\n\n{text}\n"
    assert text in parse_marked(body, roles=BUILD, source="f").text


def test_a_folder_names_the_file_of_a_misspelt_marker(tmp_path, write, user_error):
    write("a.txt", HEAD + "[Ruling] The appeal is dismissed.\n")
    with user_error(f"{tmp_path / 'a.txt'}:6", "[Ruling]"):
        list(Marked(name="c", folder=str(tmp_path)).read(None))


def test_brackets_of_real_judgments_are_text(real):
    import gzip
    import json

    with gzip.open(real / "inabs" / "full.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    assert sum(find_misspelt_marker(text, 0) is not None for text in texts) <= len(texts) // 200
