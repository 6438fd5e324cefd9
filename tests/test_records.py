from dataclasses import FrozenInstanceError

import pytest

from legalrr.errors import UserError
from legalrr.records import Block, Document, Judgment, Message, Page, Quote, by_id, replace_surrogates

HEADINGS = {"FAC": "Facts", "RLC": "Ruling by Lower Court"}


def document(*blocks: tuple[str, str], headings: bool) -> Document:
    return Document(
        id="a",
        scheme="build",
        headings=headings,
        blocks=tuple(Block(role=role, start=10 * i, text=text) for i, (role, text) in enumerate(blocks)),
    )


def test_rendered_document_without_headings_is_its_blocks() -> None:
    shown = document(("FAC", "One."), ("RLC", "Two."), ("FAC", "Three."), headings=False)
    assert shown.render(HEADINGS) == "One.\nTwo.\nThree."


def test_rendered_document_has_one_heading_above_each_group_of_a_role() -> None:
    shown = document(("FAC", "One."), ("FAC", "Three."), ("RLC", "Two."), ("", "Four."), headings=True)
    assert shown.render(HEADINGS) == "Facts:\nOne.\nThree.\n\nRuling by Lower Court:\nTwo.\n\nOther:\nFour."


def test_initial_text_without_a_role_also_has_a_heading() -> None:
    assert document(("", "One."), headings=True).render(HEADINGS) == "Other:\nOne."


def test_document_without_blocks_renders_to_nothing() -> None:
    assert document(headings=True).render(HEADINGS) == ""


def test_message_fills_in_quoted_answers() -> None:
    message = Message(role="user", parts=("You wrote: ", Quote(turn="ratio"), " Now go on."))
    assert message.fill({"ratio": "X", "ruling": "Y"}) == {"role": "user", "content": "You wrote: X Now go on."}


def test_placeholders_in_literal_text_and_in_answers_are_unchanged() -> None:
    message = Message(role="user", parts=("{ratio} {{ ratio }} %s ", Quote(turn="ratio")))
    assert message.fill({"ratio": "{ruling}"})["content"] == "{ratio} {{ ratio }} %s {ruling}"


def test_surrogate_in_an_answer_becomes_a_replacement_character() -> None:
    message = Message(role="user", parts=("\u092f ", Quote(turn="ratio")))
    assert message.fill({"ratio": "x \ud83d y \U0001f9d1"})["content"] == "\u092f x \ufffd y \U0001f9d1"
    assert len(replace_surrogates("\ud800\udfff")) == 2


def test_message_without_a_quoted_answer_raises() -> None:
    with pytest.raises(KeyError, match="ratio"):
        Message(role="user", parts=(Quote(turn="ratio"),)).fill({})


def test_message_with_pages_lists_texts_and_images_without_their_paths() -> None:
    pages = [Page(path=f"/{n}.pdf", number=n, sha256="ab", start=0, end=0, dpi=72) for n in (1, 2)]
    message = Message(role="user", parts=("One", ": ", pages[0], pages[1], Quote(turn="ratio"), ""))
    assert message.pages == tuple(pages)
    assert message.fill({"ratio": "X"}) == {
        "role": "user",
        "content": [
            {"type": "text", "text": "One: "},
            {"type": "image", "sha256": "ab", "number": 1, "dpi": 72},
            {"type": "image", "sha256": "ab", "number": 2, "dpi": 72},
            {"type": "text", "text": "X"},
        ],
    }
    assert message.fill({"ratio": ""})["content"][-1]["type"] == "image"


def test_by_id_keeps_the_order() -> None:
    judgments = [Judgment(id=id, text="x") for id in ("b", "a", "c")]
    assert list(by_id(judgments)) == ["b", "a", "c"]
    assert by_id(judgments)["a"] is judgments[1]


def test_by_id_raises_on_a_duplicate_and_names_id_and_file() -> None:
    judgments = [Judgment(id="a", text="x"), Judgment(id="a", text="y", source="two.csv:7")]
    with pytest.raises(UserError, match=r"two\.csv:7: duplicate id 'a'"):
        by_id(judgments)


def test_records_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Judgment(id="a", text="x").text = "y"  # type: ignore[misc]
