import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.errors import UserError
from legalrr.predictions import Prediction
from legalrr.report.compare import read_report
from legalrr.report.html.judgments import Conversations, Phrases, collections, read_judgments, read_rows
from legalrr.report.load import read_again, read_results

from .conftest import enrich


def test_cells_with_equal_judgments_share_them(sweep) -> None:
    enrich(sweep.cell(0))
    enrich(sweep.cell(1, "dr"))
    sweep.cell(2, "d")
    found = read_judgments(read_results([sweep.folder]))
    assert set(found) == {0, 1}
    assert found[0] is found[1]
    assert found[0]["case-3"]["petitioner"] == "Ram Lal"


def test_a_damaged_judgments_file_is_named(sweep) -> None:
    folder = sweep.cell(0)
    enrich(folder)
    (folder / "judgments.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(UserError, match=r"judgments.jsonl.gz: cannot read the judgments"):
        read_judgments(read_results([sweep.folder]))


def test_rows_are_found_by_id(sweep) -> None:
    folder = sweep.cell(0)
    enrich(folder)
    (cell,) = read_results([sweep.folder])
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    rows = {row["id"]: Prediction.from_json(row, where="test") for row in map(json.loads, lines)}
    assert read_rows(cell, ["case-7", "case-2", "unknown"]) == {id: rows[id] for id in ("case-7", "case-2")}


def test_a_changed_file_is_an_error(sweep) -> None:
    folder = sweep.cell(0)
    (cell,) = read_results([sweep.folder])
    text = (folder / "predictions.jsonl").read_text()
    (folder / "predictions.jsonl").write_text("x" + text)
    with pytest.raises(UserError, match=r"predictions.jsonl: changed while it was read"):
        read_rows(cell, ["case-1"])


def test_rows_of_a_second_reading_have_its_verdicts(sweep) -> None:
    folder = sweep.cell(0, answers="AAAAAADDDDD-")
    enrich(folder)
    (cell,) = read_results([sweep.folder])
    again = read_again(cell, "study")
    assert read_rows(cell, ["case-11"])["case-11"].verdict == "invalid"
    row = read_rows(again, ["case-11", "case-0"])
    assert (row["case-11"].verdict, row["case-11"].span) == ("dismissed", None)
    assert (row["case-0"].verdict, row["case-0"].span) == ("allowed", (2, 5))


def gathered(*folders):
    report = read_report(list(folders))
    return collections(report, read_judgments(report.cells))


def test_judgments_on_which_arms_disagree_come_first(sweep) -> None:
    sweep.cell(0, answers="AAA", gold="AAD")
    sweep.cell(1, "d", "ADA", gold="AAD")
    sweep.cell(2, "r", "ADD", gold="AAD")
    (one,) = gathered(sweep.folder)
    assert one.ids == ("case-1", "case-2", "case-0")
    assert one.disagreement == pytest.approx((2 / 3, 2 / 3, 0.0))
    assert one.gold == "ADA"
    assert one.answers == {0: "AAA", 1: "DAA", 2: "DDA"}


def test_baselines_do_not_count_as_disagreement(sweep) -> None:
    sweep.cell(0, answers="AD", gold="AD")
    sweep.cell(1, "d", "AD", gold="AD")
    sweep.cell(2, "majority", "DA", gold="AD", backbone="-")
    (one,) = gathered(sweep.folder)
    assert one.disagreement == (0.0, 0.0)
    assert one.answers[2] == "DA"


def test_a_judgment_that_a_cell_lacks_is_a_space(sweep, another) -> None:
    sweep.cell(0, answers="AD", gold="AD")
    another.cell(0, answers="A-D", gold="ADD")
    (one,) = gathered(sweep.folder, another.folder)
    assert dict(zip(one.ids, one.answers[0], strict=True))["case-2"] == " "
    assert sorted(zip(one.ids, one.answers[1], strict=True)) == [("case-0", "A"), ("case-1", "-"), ("case-2", "D")]


def test_two_corpora_are_two_collections(sweep, another) -> None:
    sweep.cell(0)
    another.cell(0, corpus="other", split="test")
    assert [one.name for one in gathered(sweep.folder, another.folder)] == ["specimen", "other (test)"]


def test_facts_that_no_judgment_has_are_left_out(sweep) -> None:
    sweep.cell(0, row={"court": "High Court", "year": 1999})
    (one,) = gathered(sweep.folder)
    assert set(one.as_json()["facts"]) == {"court", "year"}


TEXT = st.text(alphabet="ab \n.é𝒜", max_size=40)


def join_parts(parts, record, shared, answer) -> str:
    """Join the parts of a message."""
    said = {turn["name"]: turn["text"] for turn in answer["turns"]}
    found = []
    for part in parts:
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, int):
            found.append(shared[part] if part >= 0 else record["strings"][-1 - part])
        elif "turn" in part:
            found.append(said[part["turn"]])
        else:
            document = record["documents"][part["document"]]
            blocks = [record["text"][start:end] for _, start, end in document["shown"]]
            found.append(blocks[0] + "".join(a + b for a, b in zip(document["between"], blocks[1:], strict=True)))
    return "".join(found)


def row(messages, shown=(), turns=(), **changes):
    return Prediction(
        id="j",
        verdict="allowed",
        reason="matched",
        messages=[{"role": "user", "content": content} for content in messages],
        shown=list(shown),
        turns=[{"name": name, "text": text, "logprobs": None} for name, text in turns],
        **changes,
    )


@given(
    text=TEXT,
    cuts=st.lists(st.integers(0, 40), min_size=2, max_size=6),
    glue=TEXT,
    around=st.tuples(TEXT, TEXT),
    answers=st.lists(TEXT, max_size=3),
)
def test_every_message_is_restored_from_its_parts(text, cuts, glue, around, answers) -> None:
    ordered = sorted({min(cut, len(text)) for cut in cuts})
    shown = [["FAC", start, end] for start, end in pairwise(ordered)]
    document = glue.join(text[start:end] for _, start, end in shown)
    turns = [(f"turn-{number}", answer) for number, answer in enumerate(answers)]
    messages = [f"{around[0]}{document}{around[1]}", *answers, f"{around[1]}{''.join(answers)}", around[0] * 3]
    phrases = Phrases()
    records = {}
    for id in ("one", "other"):
        records[id] = Conversations(judgment=id, record={"text": text}, phrases=phrases)
        for cell in (0, 1):
            records[id].add(cell, row(messages, shown, turns))
    for conversations in records.values():
        record = json.loads(json.dumps(conversations.as_json()))
        for answer in record["answers"].values():
            back = [join_parts(parts, record, list(phrases.shared), answer) for _, *parts in answer["sent"]]
            assert back == messages


def test_the_judgment_is_stored_once_for_all_cells() -> None:
    text = "It was a lame horse that the appellant sold. " * 20
    conversations = Conversations(judgment="j", record={"text": text}, phrases=Phrases())
    for cell in range(10):
        conversations.add(cell, row([f"Judge:\n{text.strip()}\nYES or NO? ({cell})"], [["FAC", 0, len(text.strip())]]))
    made = json.dumps(conversations.as_json())
    assert made.count("lame horse") == 20
    assert conversations.as_json()["answers"]["9"]["sent"] == [
        ["user", "Judge:\n", {"document": 0}, "\nYES or NO? (9)"]
    ]


def test_a_shared_string_is_stored_once_in_the_page() -> None:
    phrases = Phrases()
    for id in ("one", "two", "three"):
        conversations = Conversations(judgment=id, record=None, phrases=phrases)
        conversations.add(0, row(["You are a judge of the Supreme Court of India."]))
        assert conversations.as_json()["answers"]["0"]["sent"] == [["user", -1 if id == "one" else 0]]
    assert list(phrases.shared) == ["You are a judge of the Supreme Court of India."]


def test_equal_documents_are_stored_once() -> None:
    conversations = Conversations(judgment="j", record={"text": "Facts. Ruling."}, phrases=Phrases())
    conversations.add(0, row(["Facts."], [["FAC", 0, 6]], hidden=[[7, 14, "RPC", "role"]]))
    conversations.add(1, row(["Facts."], [["FAC", 0, 6]], hidden=[[7, 14, "RPC", "role"]]))
    conversations.add(2, row(["Ruling.\nFacts."], [["RPC", 7, 14], ["FAC", 0, 6]]))
    made = conversations.as_json()
    assert [made["answers"][cell]["document"] for cell in "012"] == [0, 0, 1]
    assert [len(document["shown"]) for document in made["documents"]] == [1, 2]
    assert made["documents"][1]["between"] == ["\n"]


def test_an_earlier_conversation_is_restored_from_its_difference() -> None:
    last = "The judgment: a horse that was lame.\n\nAnswer YES or NO."
    earlier = [{"turn": "analysis", "messages": [["user", 38, "Write the Analysis of this case."]]}]
    conversations = Conversations(judgment="j", record=None, phrases=Phrases())
    conversations.add(0, row([last], turns=[("analysis", "It was lame.")], earlier=earlier))
    made = conversations.as_json()
    ((turn, ((role, *parts),)),) = made["answers"]["0"]["earlier"]
    assert (turn, role) == ("analysis", "user")
    back = join_parts(parts, made, [], made["answers"]["0"])
    assert back == "The judgment: a horse that was lame.\n\nWrite the Analysis of this case."


def test_an_image_becomes_a_note_of_its_page() -> None:
    image = {"type": "image", "sha256": "ab", "number": 3, "dpi": 72}
    last = [{"type": "text", "text": "Page 3:"}, image, {"type": "text", "text": "YES or NO?"}]
    earlier = {"turn": "analysis", "messages": [["user", 2, [{"type": "text", "text": "Why?"}]]]}
    blank = {"turn": "blank", "messages": [["user", 0, "YES or NO?"]]}
    conversations = Conversations(judgment="j", record=None, phrases=Phrases())
    conversations.add(0, row([last], earlier=[earlier, blank]))
    record = conversations.as_json()
    answer = record["answers"]["0"]
    conversations = [answer["sent"], *(conversation for _, conversation in answer["earlier"])]
    shown = "Page 3:[image of page 3 at 72 dots per inch]"
    assert [join_parts(one[0][1:], record, [], answer) for one in conversations] == [
        f"{shown}YES or NO?",
        f"{shown}Why?",
        "YES or NO?",
    ]


def test_without_the_judgment_prompts_are_stored_in_full() -> None:
    conversations = Conversations(judgment="j", record=None, phrases=Phrases())
    conversations.add(0, row(["Facts."], [["FAC", 0, 6]]))
    made = conversations.as_json()
    assert made["text"] is None
    assert made["documents"][0]["between"] is None
    assert made["answers"]["0"]["sent"] == [["user", "Facts."]]


def test_blocks_out_of_order_leave_the_prompt_unchanged() -> None:
    conversations = Conversations(judgment="j", record={"text": "Facts. Ruling."}, phrases=Phrases())
    conversations.add(0, row(["Ruling. Facts."], [["FAC", 0, 6], ["RPC", 7, 14]]))
    assert conversations.as_json()["answers"]["0"]["sent"] == [["user", "Ruling. Facts."]]
