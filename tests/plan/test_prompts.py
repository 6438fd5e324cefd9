"""The prompts of one judgment in all arms, as text and as a page."""

import re
from html import unescape
from pathlib import Path

import pytest

from legalrr.configuration import compose_cells
from legalrr.errors import UserError
from legalrr.html import source_hash
from legalrr.plan.cells import Cells
from legalrr.plan.prompts import ShownPrompts, prompts_page, read_prompts, show_prompts


def prompts(id: str | None, *overrides: str) -> ShownPrompts:
    composed = compose_cells(["backbone=echo", *overrides])
    return read_prompts(Cells([config for _, config in composed]), [own for own, _ in composed], id)


def text(shown: ShownPrompts, arm: int, turn: int = -1) -> str:
    return "\n".join(piece.text for message in shown.arms[arm].turns[turn].messages for piece in message.pieces)


def test_the_arms_stand_side_by_side() -> None:
    shown = prompts("tax-2", "arm=direct,drc,majority")
    assert [arm.title for arm in shown.arms] == ["direct", "D/R/C"]
    direct, drc = shown.arms
    assert [turn.name for turn in direct.turns] == ["answer"]
    assert [turn.name for turn in drc.turns] == ["analysis", "ratio", "ruling", "answer"]
    assert not any(turn.anew for turn in drc.turns)
    # A later turn adds the answer before it, and the question.
    assert [message.role for message in drc.turns[1].messages] == ["assistant", "user"]
    assert drc.turns[1].messages[0].pieces[0].text == "«answer of turn analysis»"
    assert "Is the case decided in favour of the appellant" in text(shown, 0)


def test_the_study_layout_sends_the_prompt_anew() -> None:
    shown = prompts("tax-2", "arm=c", "annotate.layout=conversation,study")
    assert [arm.about for arm in shown.arms] == ["annotate.layout=conversation", "annotate.layout=study"]
    assert [turn.anew for turn in shown.arms[1].turns] == [False, True, True, True]
    assert "«answer of turn ruling»" in text(shown, 1)


@pytest.mark.parametrize("arm", ["plain", "r", "drc", "direct"])
def test_no_prompt_shows_what_is_hidden(arm: str) -> None:
    composed = compose_cells(["backbone=echo", f"arm={arm}", "limit=6"])
    cells = Cells([config for _, config in composed])
    (group,) = cells.groups()
    for corpus, id in group.ids():
        case = group.case(group.cells[0], id)
        assert case is not None
        judgment = group.judgments[0].find(id)
        assert judgment is not None
        hidden = [judgment.text[one.start : one.end] for one in case.document.hidden]
        shown = read_prompts(cells, [own for own, _ in composed], id)
        whole = " ".join("".join(text(shown, 0, turn) for turn in range(len(shown.arms[0].turns))).split())
        assert hidden
        for passage in hidden:
            for sentence in passage.split(". "):
                if len(sentence.split()) > 5:
                    assert " ".join(sentence.split()) not in whole, corpus


def test_the_first_judgment_is_the_default_and_an_unknown_one_is_refused() -> None:
    assert prompts(None, "arm=direct", "limit=2").id
    with pytest.raises(UserError, match=r"^--prompts: no judgment 'nothing' \(the judgments of this experiment are "):
        prompts("nothing", "arm=direct")
    with pytest.raises(UserError, match="no cell prompts a model"):
        prompts("tax-2", "arm=majority")
    with pytest.raises(UserError, match="ildc"):
        prompts("tax-2", "arm=direct", "corpus=ildc")


def test_the_page_has_a_column_per_arm_and_escapes_its_texts(tmp_path: Path) -> None:
    (tmp_path / "<b>x.txt").write_text(
        "The appellant <script>alert(1)</script> sold & left.\x07 The sky is blue.", "utf-8"
    )
    (tmp_path / "labels.csv").write_text("id,label\n<b>x,1\n", "utf-8")
    shown = prompts("<b>x", "arm=plain,d", "corpus=own_text", f"corpus.folder={tmp_path}", "segment=crf")
    page = prompts_page(shown)
    assert page.count("<section>") == 2
    assert "<script" not in page
    assert "<b>x" not in page
    assert "\x07" not in page
    assert "<script>alert(1)</script> sold & left." in unescape(page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert source_hash(style) in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_terminal_shows_every_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    shown = prompts("tax-2", "arm=plain,c")
    show_prompts(shown)
    out = " ".join(re.sub(r"[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    assert "tax-2 of specimen" in out
    assert out.count("«answer of turn analysis»") == 2
    assert "You are a judge of the Supreme Court of India." in out
