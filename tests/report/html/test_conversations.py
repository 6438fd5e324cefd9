import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from legalrr.predictions import Prediction
from legalrr.report.html.conversations import Conversations, Phrases
from legalrr.sent_messages import restore

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
    found = Prediction(
        id="j",
        verdict="allowed",
        reason="matched",
        messages=[{"role": "user", "content": content} for content in messages],
        shown=list(shown),
        turns=[{"name": name, "text": text, "logprobs": None} for name, text in turns],
        **changes,
    )
    return restore(found, text=None, lines=(), where="test")


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
