from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from legalrr.annotate.annotate import Annotate, TurnTokens
from legalrr.errors import UserError
from legalrr.predictors import ANSWERS, SCORINGS, ModelPredictor
from legalrr.protocols import Abilities, Call, CallQueue, Engine, PredictContext, Reply
from legalrr.records import Block, Case, Completion, Document, Judgment, Page
from legalrr.stage import digest
from legalrr.store import Store
from legalrr.verdict import BLANK, PatternVerdictReader


@dataclass
class Fake:
    """Engine that answers with the number of the call, and records its batches."""

    context: int = 1000
    batch: int = 2
    logprobs: bool = True
    structured: bool = True
    holds: int | None = None
    fails_at: int = 0
    """Number of the batch (from 1) that raises."""
    overflows: str = "nothing overflows"
    """A conversation with this text overflows."""
    says: str = "{n}"
    """Template of the answer; {n} is the number of the call."""
    asked: list[list[Call]] = field(default_factory=list)

    @property
    def can(self) -> Abilities:
        return Abilities(logprobs=self.logprobs, structured=self.structured, images=False, seed=False)

    @property
    def calls(self) -> list[Call]:
        return [call for batch in self.asked for call in batch]

    def token_ends(self, text: str) -> list[int]:
        return list(range(1, len(text) + 1))

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        while calls := queue.take():
            assert all(call.answers in ((), ANSWERS) for call in calls)
            # Not in the order of the calls, as engines may reorder them.
            ordered = list(reversed(calls))
            for at in range(0, len(ordered), self.batch):
                if len(self.asked) + 1 == self.fails_at:
                    raise RuntimeError("the device is gone")
                before = len(self.calls)
                self.asked.append(ordered[at : at + self.batch])
                yield [(call.key, self._reply(call, before + i)) for i, call in enumerate(self.asked[-1])]

    def _reply(self, call: Call, number: int) -> Reply:
        said = "\n".join(str(message["content"]) for message in call.messages)
        if self.overflows in said:
            return reply("", "overflow")
        if call.answers:
            blank = "(no text)" in said
            return replace(reply(""), logprobs={"YES": -0.5 if blank else -1.0, "NO": -1.0 if blank else -1.2})
        return reply(self.says.format(n=number))


def reply(text: str, finish_reason: Any = "stop") -> Reply:
    return Reply(
        text=text,
        finish_reason=finish_reason,
        prompt_tokens=7,
        cached_tokens=3,
        new_tokens=2,
        seconds=0.5,
        logprobs=None,
    )


def case(id: str, text: str = "", *, skipped: bool = False, **arm: Any) -> Case:
    words = text or f"Facts of the matter {id}."
    judgment = Judgment(id=id, text=words, party="appellant")
    blocks = () if skipped else (Block(role="FAC", start=0, text=words),)
    document = Document(id=id, scheme="build", headings=False, blocks=blocks, skipped=skipped)
    return Case(judgment=judgment, document=document, prompt=Annotate(**arm).annotate(judgment, document))


def cases(count: int, **arm: Any) -> list[Case]:
    return [case(f"j{i}", **arm) for i in range(count)]


def bench(engine: Engine | None, folder: Path) -> PredictContext:
    return PredictContext(engine=engine, calls=Store(folder, {}), train=(), gold={}, seed=0)


def ask(asked: Sequence[Case], engine: Engine | None, folder: Path, scoring: str = "generate") -> dict[str, Completion]:
    made = list(ModelPredictor(scoring=scoring).predict(asked, bench(engine, folder)))
    assert len({c.id for c in made}) == len(made) == len(asked)
    return {completion.id: completion for completion in made}


def keys(engine: Fake) -> set[str]:
    return {call.key for call in engine.calls}


class TestTurns:
    def test_every_case_has_all_its_turns_in_order(self, tmp_path: Path) -> None:
        made = ask([*cases(2, chain=True), case("short"), case("direct", direct=True)], Fake(), tmp_path)
        assert [t.name for t in made["j0"].turns] == ["analysis", "ratio", "ruling", "answer"]
        assert [t.name for t in made["j1"].turns] == ["analysis", "ratio", "ruling", "answer"]
        assert [t.name for t in made["short"].turns] == ["analysis", "answer"]
        assert [t.name for t in made["direct"].turns] == ["answer"]

    def test_every_call_names_its_judgment(self, tmp_path: Path) -> None:
        engine = Fake()
        ask(cases(2, chain=True), engine, tmp_path)
        assert Counter(call.about for call in engine.calls) == {"j0": 4, "j1": 4}

    @pytest.mark.parametrize("layout", ["conversation", "study", "judgment_first"])
    def test_later_turns_quote_the_answers_to_earlier_ones_about_the_same_judgment(
        self, tmp_path: Path, layout: str
    ) -> None:
        engine = Fake(batch=3, says="answer-{n}.")
        made = ask(cases(3, chain=True, layout=layout), engine, tmp_path)
        by_key = {call.key: call for call in engine.calls}
        assert len(by_key) == 12
        for id, completion in made.items():
            last = [c for c in engine.calls if f"matter {id}." in str(c.messages)][-1]
            said = [turn.text for turn in completion.turns]
            sent = "\n".join(message["content"] for message in last.messages)
            assert [s for s in said[:-1] if s in sent] == said[:-1]
            assert not [
                s for other in made.values() if other.id != id for s in (t.text for t in other.turns) if s in sent
            ]

    def test_a_turn_of_all_judgments_is_sent_before_the_next_turn_of_any(self, tmp_path: Path) -> None:
        engine = Fake(batch=2)
        ask(cases(3, chain=True), engine, tmp_path)
        assert [len(c.messages) for c in engine.calls] == [2] * 3 + [4] * 3 + [6] * 3 + [8] * 3

    def test_turn_carries_what_the_engine_reported(self, tmp_path: Path) -> None:
        (turn,) = ask([case("j", direct=True)], Fake(says="YES"), tmp_path)["j"].turns
        assert (turn.text, turn.finish_reason, turn.prompt_tokens, turn.cached_tokens) == ("YES", "stop", 7, 3)
        assert (turn.new_tokens, turn.seconds, turn.logprobs) == (2, 0.5, None)

    def test_answer_of_a_reasoning_model_is_quoted_without_its_reasoning(self, tmp_path: Path) -> None:
        engine = Fake(says="<think>secret</think>open")
        made = ask([case("j")], engine, tmp_path)["j"]
        assert made.turns[0].text == "<think>secret</think>open"
        assert engine.calls[-1].messages[2]["content"] == "open"

    def test_no_cases_make_no_calls(self, tmp_path: Path) -> None:
        for scoring in SCORINGS:
            assert ask([], Fake(), tmp_path, scoring) == {}

    def test_judgment_skipped_by_the_overflow_policy_makes_no_call(self, tmp_path: Path) -> None:
        engine = Fake()
        made = ask([case("a"), case("b", skipped=True)], engine, tmp_path)
        assert [(t.name, t.finish_reason) for t in made["b"].turns] == [("answer", "overflow")]
        assert len(engine.calls) == 2

    def test_overflow_within_a_chain_stops_only_that_judgment(self, tmp_path: Path) -> None:
        asked = cases(3, chain=True)
        engine = Fake(overflows='matter j1.\n"""\n\nWrite the Analysis', says="x")
        made = ask(asked, engine, tmp_path)
        assert [t.finish_reason for t in made["j1"].turns] == ["overflow"]
        assert [len(made[id].turns) for id in ("j0", "j2")] == [4, 4]

    def test_overflow_of_a_later_turn_keeps_the_earlier_ones(self, tmp_path: Path) -> None:
        engine = Fake(overflows="at most 150 words", says="x")
        made = ask([*cases(2, chain=True), case("short")], engine, tmp_path)
        assert [t.finish_reason for t in made["j0"].turns] == ["stop", "stop", "overflow"]
        assert [t.name for t in made["j0"].turns] == ["analysis", "ratio", "ruling"]
        assert PatternVerdictReader().read(made["j0"], asked_of(made["j0"])).reason == "overflow"
        assert [t.finish_reason for t in made["short"].turns] == ["stop", "stop"]


def asked_of(completion: Completion) -> Any:
    return case(completion.id, chain=True).prompt


class TestStore:
    def test_second_run_makes_no_call_and_gives_the_same_answers(self, tmp_path: Path) -> None:
        first = ask(cases(3, chain=True), Fake(), tmp_path)
        engine = Fake(says="something else")
        assert ask(cases(3, chain=True), engine, tmp_path) == first
        assert engine.calls == []

    def test_run_that_fails_in_its_third_batch_stores_two_and_resumes(self, tmp_path: Path) -> None:
        failing = Fake(batch=2, fails_at=3)
        with pytest.raises(RuntimeError, match="the device is gone"):
            ask(cases(7, direct=True), failing, tmp_path)
        assert len(Store(tmp_path, {})) == 4
        engine = Fake()
        made = ask(cases(7, direct=True), engine, tmp_path)
        assert len(engine.calls) == 3
        assert keys(engine).isdisjoint(keys(failing))
        assert len(made) == 7

    def test_equal_calls_are_made_once(self, tmp_path: Path) -> None:
        engine = Fake()
        twins = [case("a", "The same words."), case("b", "The same words."), case("c", "Other words.")]
        made = ask(twins, engine, tmp_path)
        assert made["a"].turns == made["b"].turns
        assert len(engine.calls) == 4

    def test_arms_with_and_without_the_chain_share_their_first_call(self, tmp_path: Path) -> None:
        plain, chain = Fake(), Fake()
        ask(cases(3), plain, tmp_path)
        ask(cases(3, chain=True), chain, tmp_path)
        assert len(plain.calls) == 6
        assert len(chain.calls) == 9
        assert not [call for call in chain.calls if len(call.messages) == 2]

    def test_shared_calls_have_the_same_keys_in_separate_stores(self, tmp_path: Path) -> None:
        plain, chain = Fake(says="x"), Fake(says="x")
        ask(cases(3), plain, tmp_path / "one")
        ask(cases(3, chain=True), chain, tmp_path / "two")
        assert len(keys(plain) & keys(chain)) == 3

    def test_neither_limit_nor_order_of_the_cases_changes_a_key(self, tmp_path: Path) -> None:
        whole, less = Fake(says="x"), Fake(says="x", batch=1)
        ask(cases(4), whole, tmp_path / "one")
        ask(cases(4)[2:0:-1], less, tmp_path / "two")
        assert keys(less) < keys(whole)
        assert len(keys(less)) == 4

    def test_length_of_the_answer_is_part_of_a_key(self, tmp_path: Path) -> None:
        one, two = Fake(), Fake()
        ask([case("j", direct=True)], one, tmp_path / "one")
        ask([case("j", direct=True, tokens=TurnTokens(answer=9))], two, tmp_path / "two")
        assert keys(one).isdisjoint(keys(two))
        assert two.calls[0].max_new_tokens == 9


class TestCompare:
    def test_answers_of_the_last_turn_are_compared_and_the_others_generated(self, tmp_path: Path) -> None:
        engine = Fake()
        turns = ask([case("j")], engine, tmp_path, "compare")["j"].turns
        assert [bool(call.answers) for call in engine.calls] == [False, True]
        assert turns[0].logprobs is None
        assert turns[1].logprobs == {"YES": -1.0, "NO": -1.2}

    def test_compared_and_generated_answers_have_different_keys(self, tmp_path: Path) -> None:
        one, two = Fake(), Fake()
        ask([case("j", direct=True)], one, tmp_path, "generate")
        ask([case("j", direct=True)], two, tmp_path, "compare")
        assert len(two.calls) == 1
        assert keys(one).isdisjoint(keys(two))

    def test_calibrated_sends_the_blank_prompt_first_and_once_per_party(self, tmp_path: Path) -> None:
        engine = Fake()
        made = ask(cases(3, direct=True), engine, tmp_path, "calibrated")
        assert len(engine.calls) == 4
        for completion in made.values():
            assert [t.name for t in completion.turns] == [BLANK, "answer"]
            assert completion.turns[0].logprobs == {"YES": -0.5, "NO": -1.0}

    def test_calibrated_verdict_is_the_odds_relative_to_the_prior(self, tmp_path: Path) -> None:
        prompt = case("j", direct=True).prompt
        compared = ask([case("j", direct=True)], Fake(), tmp_path, "compare")["j"]
        calibrated = ask([case("j", direct=True)], Fake(), tmp_path, "calibrated")["j"]
        assert PatternVerdictReader().read(compared, prompt).label == "allowed"
        assert PatternVerdictReader().read(calibrated, prompt).label == "dismissed"

    def test_calibrated_shares_its_answers_with_compare(self, tmp_path: Path) -> None:
        ask(cases(3, direct=True), Fake(), tmp_path, "compare")
        engine = Fake()
        ask(cases(3, direct=True), engine, tmp_path, "calibrated")
        assert len(engine.calls) == 1

    def test_calibrated_with_several_turns_raises(self, tmp_path: Path) -> None:
        engine = Fake()
        with pytest.raises(UserError, match=r"^predict\.scoring: calibration.*annotate\.direct=true"):
            ask([case("j")], engine, tmp_path, "calibrated")
        assert engine.calls == []

    @pytest.mark.parametrize("scoring", ["compare", "calibrated"])
    def test_engine_without_log_probabilities_raises(self, tmp_path: Path, scoring: str) -> None:
        engine = Fake(logprobs=False)
        with pytest.raises(UserError, match=r"^predict\.scoring: this backbone does not return log-probabilities"):
            ask([case("j", direct=True)], engine, tmp_path, scoring)
        assert engine.calls == []
        assert not list(tmp_path.iterdir())

    def test_engine_without_log_probabilities_can_generate(self, tmp_path: Path) -> None:
        assert ask([case("j", direct=True)], Fake(logprobs=False, says="YES"), tmp_path)["j"].turns[0].text == "YES"

    def test_skipped_judgment_is_skipped_when_answers_are_compared_too(self, tmp_path: Path) -> None:
        made = ask([case("a", skipped=True, direct=True)], Fake(), tmp_path, "calibrated")
        assert [t.finish_reason for t in made["a"].turns] == ["overflow"]

    def test_overflow_of_a_compared_answer_is_read_as_one(self, tmp_path: Path) -> None:
        asked = case("j", direct=True)
        made = ask([asked], Fake(overflows="matter j."), tmp_path, "calibrated")["j"]
        assert PatternVerdictReader().read(made, asked.prompt).reason == "overflow"


class TestChoose:
    def test_only_the_last_turn_is_constrained_to_yes_and_no(self, tmp_path: Path) -> None:
        engine = Fake(says="YES")
        turns = ask([case("j", chain=True)], engine, tmp_path, "choose")["j"].turns
        assert [call.choices for call in engine.calls] == [(), (), (), ANSWERS]
        assert (turns[-1].text, turns[-1].logprobs) == ("YES", None)

    def test_only_that_turn_has_a_key_of_its_own(self, tmp_path: Path) -> None:
        free, held = Fake(says="x"), Fake(says="x")
        ask([case("j", chain=True)], free, tmp_path / "one")
        ask([case("j", chain=True)], held, tmp_path / "two", "choose")
        assert len(keys(free) - keys(held)) == len(keys(held) - keys(free)) == 1

    def test_engine_without_constrained_decoding_raises(self, tmp_path: Path) -> None:
        engine = Fake(structured=False)
        with pytest.raises(UserError, match=r"^predict\.scoring: this backbone does not support constrained decoding"):
            ask([case("j", direct=True)], engine, tmp_path, "choose")
        assert engine.calls == []
        for scoring in ("generate", "compare"):
            ask([case("j", direct=True)], engine, tmp_path, scoring)


def test_calls_without_choices_keep_their_keys(tmp_path: Path) -> None:
    for scoring in ("generate", "compare"):
        engine = Fake()
        ask([case("j", direct=True)], engine, tmp_path, scoring)
        (call,) = engine.calls
        asked = {"generate": 64} if scoring == "generate" else {"compare": ["YES", "NO"]}
        assert call.key == digest({**asked, "messages": list(call.messages)})


def test_no_backbone_raises(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^backbone: predict=model without a backbone"):
        ask([case("j")], None, tmp_path)


def test_unknown_scoring_raises() -> None:
    with pytest.raises(
        UserError, match=r"^predict\.scoring: unknown scoring 'guess' \(use generate, choose, compare, calibrated\)"
    ):
        ModelPredictor(scoring="guess")


def pictured(path: str, dpi: int = 72, number: int = 1) -> Case:
    page = Page(path=path, number=number, sha256="ab", start=0, end=0, dpi=dpi)
    judgment = Judgment(id="j", text="", party="appellant", pages=(page,))
    document = Document(id="j", scheme="build", headings=False, blocks=(), pages=(page,))
    return Case(judgment=judgment, document=document, prompt=Annotate(direct=True).annotate(judgment, document))


@pytest.mark.parametrize("scoring", ["generate", "compare"])
def test_key_of_a_call_with_images_depends_on_their_content_not_their_path(scoring: str, tmp_path: Path) -> None:
    keys = []
    places = [("a.pdf", 72, 1), ("b.pdf", 72, 1), ("a.pdf", 73, 1), ("a.pdf", 72, 2)]
    for path, dpi, number in places:
        engine = Fake()
        ask([pictured(path, dpi, number)], engine, tmp_path / str(len(keys)), scoring)
        (call,) = engine.calls
        assert [page.path for page in call.pages] == [path]
        assert path not in repr(call.messages)
        keys.append(call.key)
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    engine = Fake()
    ask([case("j", direct=True)], engine, tmp_path / "text", scoring)
    assert engine.calls[0].pages == ()


def test_key_of_a_call_without_images_is_that_of_its_text(tmp_path: Path) -> None:
    engine = Fake()
    ask([case("j", direct=True)], engine, tmp_path)
    (call,) = engine.calls
    spoken = [{"role": m["role"], "content": m["content"]} for m in call.messages]
    assert all(isinstance(message["content"], str) for message in spoken)
    assert call.key == digest({"generate": call.max_new_tokens, "messages": spoken})
