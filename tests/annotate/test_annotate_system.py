"""`annotate.system`: prompts for models without a system role."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from legalrr.annotate.annotate import LAYOUTS, Annotate
from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.protocols import Call
from legalrr.records import Block, Document, Judgment
from legalrr.stage import identity

JUDGMENT = Judgment(id="j", text="The suit was filed in 1990.", party="petitioner", petitioner="Meera Bai")
DOCUMENT = Document(
    id="j", scheme="build", headings=False, blocks=(Block(role="FAC", start=0, text="The suit was filed in 1990."),)
)
ANSWERS = {"analysis": "A", "ratio": "B", "ruling": "C"}
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}"
)


@pytest.mark.parametrize(("layout", "chain"), [*product(LAYOUTS, (True, False))])
def test_the_first_user_message_starts_with_the_system_message(layout, chain):
    stage = Annotate(layout=layout, chain=chain)
    own = stage.annotate(JUDGMENT, DOCUMENT)
    merged = replace(stage, system="first_user").annotate(JUDGMENT, DOCUMENT)
    for before, after in zip(own.turns, merged.turns, strict=True):
        system, first, *others = [message.fill(ANSWERS) for message in before.messages]
        assert system["role"] == "system"
        user = {"role": "user", "content": f"{system['content']}\n\n{first['content']}"}
        assert [message.fill(ANSWERS) for message in after.messages] == [user, *others]


def test_the_prompt_for_calibration_has_no_system_message_either():
    blank = Annotate(direct=True, system="first_user").annotate(JUDGMENT, DOCUMENT).blank
    assert [message.role for message in blank.messages] == ["user"]


def test_only_another_choice_enters_the_identity():
    assert identity(Annotate(system="own")) == identity(Annotate())
    assert identity(Annotate(system="first_user")) != identity(Annotate())


def test_an_unknown_choice_is_refused_by_the_name_of_its_option():
    with pytest.raises(UserError, match=r"^annotate\.system: unknown system 'none' \(use own or first_user\)"):
        Annotate(system="none")


def test_a_local_model_without_system_role_names_the_option_and_accepts_its_prompts(tiny: Path, tmp_path: Path):
    import shutil

    folder = Path(shutil.copytree(tiny, tmp_path / "gemma"))
    (folder / "chat_template.jinja").write_text(NO_SYSTEM, encoding="utf-8")
    engine = TransformersBackbone(name="g", model=str(folder)).load()

    def ask(stage):
        turn = stage.annotate(JUDGMENT, DOCUMENT).turns[0]
        messages = tuple(message.fill({}) for message in turn.messages)
        return list(engine.answer(CallList([Call(key="k", messages=messages, max_new_tokens=1)])))

    with pytest.raises(UserError, match=r"System role not supported.*annotate\.system=first_user"):
        ask(Annotate(direct=True))
    assert ask(Annotate(direct=True, system="first_user"))
