import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from legalrr.errors import UserError
from legalrr.predictors import (
    LastLinesPredictor,
    MajorityPredictor,
    StratifiedPredictor,
    TfidfPredictor,
    visible_text,
)
from legalrr.protocols import PredictContext, Predictor
from legalrr.records import (
    Block,
    Case,
    Document,
    Example,
    Hidden,
    Judgment,
    Message,
    Outcome,
    Prompt,
    PromptTurn,
)
from legalrr.store import Store
from legalrr.verdict import PatternVerdictReader

PROMPT = (PromptTurn(name="answer", messages=(Message(role="user", parts=("?",)),), max_new_tokens=1),)
ALLOWED, DISMISSED = "mango orchard river boat", "granite mill smoke coal"


def document(id: str, visible: str, hidden: str = "") -> tuple[Judgment, Document]:
    text = f"{visible}\n{hidden}"
    gone = (Hidden(start=len(visible) + 1, end=len(text), role="RPC", reason="role"),) if hidden else ()
    blocks = (Block(role="FAC", start=0, text=visible),) if visible else ()
    return Judgment(id=id, text=text), Document(id=id, scheme="build", headings=False, blocks=blocks, hidden=gone)


def case(id: str, visible: str, hidden: str = "") -> Case:
    judgment, seen = document(id, visible, hidden)
    return Case(judgment=judgment, document=seen, prompt=Prompt(id=id, turns=PROMPT))


def example(id: str, outcome: Outcome | None, visible: str, hidden: str = "") -> Example:
    judgment, seen = document(id, visible, hidden)
    return Example(judgment=Judgment(id=id, text=judgment.text, outcome=outcome), document=seen)


def bench(gold: dict[str, Outcome] | None = None, train: Sequence[Example] = (), seed: int = 0) -> PredictContext:
    return PredictContext(engine=None, calls=Store(Path("unused"), {}), train=train, gold=gold or {}, seed=seed)


def answers(predictor: Predictor, cases: Sequence[Case], told: PredictContext) -> dict[str, str]:
    made = list(predictor.predict(cases, told))
    assert all(c.turns[0].name == "answer" and c.turns[0].finish_reason == "stop" for c in made)
    assert {c.id for c in made} == {c.document.id for c in cases}
    return {c.id: c.turns[0].text for c in made}


def plain(count: int) -> list[Case]:
    return [case(f"j{i}", "Words.") for i in range(count)]


class TestMajority:
    def test_train_split_decides_if_there_is_one(self) -> None:
        train = [example("a", "allowed", "x"), example("b", "allowed", "x"), example("c", "dismissed", "x")]
        told = bench({"j0": "dismissed", "j1": "dismissed"}, train)
        assert answers(MajorityPredictor(), plain(2), told) == {"j0": "YES", "j1": "YES"}

    def test_evaluated_set_decides_without_a_train_split(self) -> None:
        told = bench({"j0": "dismissed", "j1": "dismissed", "j2": "allowed"})
        assert set(answers(MajorityPredictor(), plain(3), told).values()) == {"NO"}

    def test_tie_is_allowed(self) -> None:
        told = bench({"j0": "dismissed", "j1": "allowed"})
        assert set(answers(MajorityPredictor(), plain(2), told).values()) == {"YES"}


class TestStratified:
    def test_answer_depends_only_on_seed_and_id(self) -> None:
        gold: dict[str, Outcome] = {f"j{i}": "allowed" if i % 2 else "dismissed" for i in range(40)}
        many = answers(StratifiedPredictor(), plain(40), bench(gold))
        few = answers(StratifiedPredictor(), plain(40)[30:5:-1], bench(gold))
        assert few.items() <= many.items()
        other = answers(StratifiedPredictor(), plain(40), bench(gold, seed=1))
        assert other != many

    def test_shares_are_those_of_the_classes(self) -> None:
        train = [example(f"t{i}", "allowed" if i < 3 else "dismissed", "x") for i in range(4)]
        drawn = Counter(answers(StratifiedPredictor(), plain(2000), bench(train=train)).values())
        # Four standard deviations of a binomial draw of 2000 with p = 3/4.
        assert abs(drawn["YES"] - 1500) < 4 * math.sqrt(2000 * 0.75 * 0.25)

    @pytest.mark.parametrize(("outcome", "answer"), [("allowed", "YES"), ("dismissed", "NO")])
    def test_the_only_outcome_is_always_sampled(self, outcome: Outcome, answer: str) -> None:
        assert set(answers(StratifiedPredictor(), plain(30), bench({"j0": outcome})).values()) == {answer}


@pytest.mark.parametrize("predictor", [MajorityPredictor(), StratifiedPredictor()])
def test_no_outcome_to_learn_from_raises(predictor: Predictor) -> None:
    for told in (bench(), bench(train=[example("a", None, "x")])):
        with pytest.raises(UserError, match=r"^corpus: no outcome to learn from"):
            list(predictor.predict(plain(1), told))


class TestLastLines:
    @pytest.mark.parametrize(
        ("text", "answer"),
        [
            ("The order was set  aside.", "YES"),
            ("It was allowed, then DISMISSED.", "NO"),
            ("It was dismissed, then allowed.", "YES"),
            ("The view was upheld.", "NO"),
            ("Nothing of the kind.", ""),
            ("", ""),
            ("Swallowed whole.", ""),
        ],
    )
    def test_last_cue_counts(self, text: str, answer: str) -> None:
        assert answers(LastLinesPredictor(), [case("j", text)], bench()) == {"j": answer}

    def test_only_the_last_words_are_read(self) -> None:
        text = "allowed one two three"
        assert answers(LastLinesPredictor(words=3), [case("j", text)], bench()) == {"j": ""}
        assert answers(LastLinesPredictor(words=4), [case("j", text)], bench()) == {"j": "YES"}

    def test_hidden_text_is_not_read(self) -> None:
        assert answers(LastLinesPredictor(), [case("j", "Words.", "dismissed")], bench()) == {"j": ""}

    def test_no_cue_is_an_invalid_verdict(self) -> None:
        asked = case("j", "Nothing.")
        (made,) = LastLinesPredictor().predict([asked], bench())
        assert PatternVerdictReader().read(made, asked.prompt).reason == "unparsed"

    @pytest.mark.parametrize("words", [0, -1])
    def test_zero_words_raise(self, words: int) -> None:
        with pytest.raises(UserError, match=r"^predict\.words"):
            LastLinesPredictor(words=words)


def labelled(count: int, *, hidden: bool = False) -> tuple[list[Case], dict[str, Outcome]]:
    """Judgments whose visible or hidden words reveal the outcome."""
    cases, gold = [], {}
    for i in range(count):
        outcome: Outcome = "allowed" if i % 2 else "dismissed"
        telling = f"{ALLOWED if i % 2 else DISMISSED} {'much ' * (i % 3)}told"
        gold[f"j{i}"] = outcome
        cases.append(case(f"j{i}", f"Record {i}.", telling) if hidden else case(f"j{i}", telling, f"Record {i}."))
    return cases, gold


def right(found: dict[str, str], gold: dict[str, Outcome]) -> bool:
    return found == {id: "YES" if outcome == "allowed" else "NO" for id, outcome in gold.items()}


classifiers = pytest.mark.parametrize("classifier", ["logistic_regression", "linear_svm"])


class TestTfidf:
    @classifiers
    def test_words_that_reveal_the_outcome_are_learnt_by_cross_validation(self, classifier: str) -> None:
        cases, gold = labelled(12)
        assert right(answers(TfidfPredictor(classifier=classifier), cases, bench(gold)), gold)

    @classifiers
    def test_with_a_train_split_no_outcome_of_the_evaluated_set_is_needed(self, classifier: str) -> None:
        cases, gold = labelled(6)
        train = [
            example(f"t{i}", "allowed" if i % 2 else "dismissed", ALLOWED if i % 2 else DISMISSED) for i in range(4)
        ]
        assert right(answers(TfidfPredictor(classifier=classifier), cases, bench(train=train)), gold)

    def test_train_split_counts_even_if_the_evaluated_set_contradicts_it(self) -> None:
        cases, gold = labelled(6)
        train = [
            example(f"t{i}", "dismissed" if i % 2 else "allowed", ALLOWED if i % 2 else DISMISSED) for i in range(4)
        ]
        found = answers(TfidfPredictor(), cases, bench(gold, train))
        assert not any(right({id: text}, {id: gold[id]}) for id, text in found.items())

    @classifiers
    @pytest.mark.parametrize("trained", [False, True])
    def test_answers_do_not_depend_on_the_order_of_cases(self, classifier: str, trained: bool) -> None:
        draw = random.Random(0)
        words = [*ALLOWED.split(), *DISMISSED.split()]
        cases = [case(f"j{i}", " ".join(draw.choices(words, k=6))) for i in range(20)]
        gold: dict[str, Outcome] = {c.document.id: draw.choice(["allowed", "dismissed"]) for c in cases}
        train = [
            example(f"t{i}", o, c.document.blocks[0].text)
            for i, (c, o) in enumerate(zip(cases, gold.values(), strict=True))
        ]
        shuffled = draw.sample(cases, len(cases))
        predictor = TfidfPredictor(classifier=classifier)
        one = list(predictor.predict(cases, bench(gold, train if trained else ())))
        two = list(predictor.predict(shuffled, bench(gold, train[::-1] if trained else ())))
        assert {c.id: c.turns for c in one} == {c.id: c.turns for c in two}

    def test_seed_changes_the_folds(self) -> None:
        draw = random.Random(1)
        words = [*ALLOWED.split(), *DISMISSED.split()]
        cases = [case(f"j{i}", " ".join(draw.choices(words, k=3))) for i in range(20)]
        gold: dict[str, Outcome] = {c.document.id: draw.choice(["allowed", "dismissed"]) for c in cases}
        made = [
            {c.id: c.turns[0].logprobs for c in TfidfPredictor().predict(cases, bench(gold, seed=seed))}
            for seed in (0, 0, 1)
        ]
        assert made[0] == made[1] != made[2]

    def test_no_judgment_is_predicted_by_a_model_trained_on_it(self) -> None:
        cases = [case(f"j{i}", f"word{i} filler") for i in range(8)]
        gold: dict[str, Outcome] = {f"j{i}": "allowed" if i % 2 else "dismissed" for i in range(8)}
        # A unique word identifies a judgment only to a classifier trained on it.
        assert not right(answers(TfidfPredictor(), cases, bench(gold)), gold)

    def test_hidden_text_is_read_only_on_request(self) -> None:
        cases, gold = labelled(12, hidden=True)
        assert right(answers(TfidfPredictor(reads="hidden"), cases, bench(gold)), gold)
        assert not right(answers(TfidfPredictor(reads="shown"), cases, bench(gold)), gold)

    def test_tail_is_the_last_three_hundred_words(self) -> None:
        def told(words: int) -> dict[str, str]:
            cases, gold = labelled(12)
            long = [case(c.document.id, f"{visible_text(c.document)} {'end ' * words}") for c in cases]
            return answers(TfidfPredictor(reads="tail"), long, bench(gold))

        _, gold = labelled(12)
        assert right(told(290), gold)
        assert not right(told(300), gold)

    @pytest.mark.parametrize("reads", ["shown", "tail", "hidden", "hidden_tail"])
    def test_judgment_without_any_text_to_read_has_an_answer(self, reads: str) -> None:
        cases, gold = labelled(8)
        empty = [*cases, case("empty", "")]
        assert set(answers(TfidfPredictor(reads=reads), empty, bench({**gold, "empty": "allowed"})).values()) <= {
            "YES",
            "NO",
        }

    def test_logistic_regression_gives_probabilities_that_agree_with_its_answer(self) -> None:
        cases, gold = labelled(12)
        for completion in TfidfPredictor().predict(cases, bench(gold)):
            logprobs = completion.turns[0].logprobs
            assert logprobs is not None
            assert math.exp(logprobs["YES"]) + math.exp(logprobs["NO"]) == pytest.approx(1.0)
            prompt = Prompt(id=completion.id, turns=PROMPT)
            verdict = PatternVerdictReader().read(completion, prompt)
            assert verdict.label == gold[completion.id]
            assert (verdict.label == "allowed") == (completion.turns[0].text == "YES")

    def test_huge_odds_are_certainty(self) -> None:
        assert TfidfPredictor()._logprobs(2000.0) == {"YES": 0.0, "NO": -2000.0}
        assert TfidfPredictor()._logprobs(-2000.0) == {"YES": -2000.0, "NO": 0.0}

    def test_support_vector_machine_gives_no_probabilities(self) -> None:
        cases, gold = labelled(8)
        made = TfidfPredictor(classifier="linear_svm").predict(cases, bench(gold))
        assert all(c.turns[0].logprobs is None for c in made)

    def test_two_judgments_of_the_smaller_class_are_enough(self) -> None:
        cases, gold = labelled(12)
        few = [c for c in cases if gold[c.document.id] == "dismissed"] + [cases[1], cases[3]]
        told = {c.document.id: gold[c.document.id] for c in few}
        assert right(answers(TfidfPredictor(), few, bench(told)), told)

    @pytest.mark.parametrize("count", [1, 0])
    def test_class_of_fewer_than_two_judgments_raises(self, count: int) -> None:
        cases, gold = labelled(12)
        few = [c for c in cases if gold[c.document.id] == "dismissed"] + [cases[1], cases[3]][:count]
        told = {c.document.id: gold[c.document.id] for c in few}
        with pytest.raises(UserError, match=rf"^judged set: the smaller class has {count} of {len(few)} judgments"):
            list(TfidfPredictor().predict(few, bench(told)))

    def test_too_small_a_class_of_the_train_split_raises(self) -> None:
        train = [example("a", "allowed", "x y"), example("b", "allowed", "x z"), example("c", "dismissed", "y z")]
        with pytest.raises(UserError, match=r"^train split: the smaller class has 1 of 3"):
            list(TfidfPredictor().predict(plain(2), bench(train=train)))

    def test_case_without_outcome_cannot_be_cross_validated(self) -> None:
        cases, gold = labelled(12)
        del gold["j4"]
        with pytest.raises(UserError, match=r"^j4: no outcome for cross-validation.*train_split"):
            list(TfidfPredictor().predict(cases, bench(gold)))

    def test_judgments_of_a_group_are_not_split_between_folds(self) -> None:
        cases, gold = [], {}
        for i in range(12):
            # The two of a pair share a word that no other judgment has, and have opposite outcomes.
            made = case(f"j{i}", f"pair{i // 2}a pair{i // 2}b filler")
            judgment = Judgment(id=f"j{i}", text=made.judgment.text, group=f"g{i // 2}")
            cases.append(Case(judgment=judgment, document=made.document, prompt=made.prompt))
            gold[f"j{i}"] = "allowed" if i % 2 else "dismissed"
        weights = {c.id: c.turns[0].logprobs for c in TfidfPredictor().predict(cases, bench(gold))}  # type: ignore[arg-type]
        # With the pair in one fold, nothing distinguishes the two.
        assert all(weights[f"j{i}"] == weights[f"j{i + 1}"] for i in range(0, 12, 2))

    def test_groups_that_leave_a_fold_without_a_class_raise(self) -> None:
        cases, gold = labelled(8)
        grouped = [
            Case(
                judgment=Judgment(id=c.document.id, text=c.judgment.text, group=gold[c.document.id]),
                document=c.document,
                prompt=c.prompt,
            )
            for c in cases
        ]
        with pytest.raises(UserError, match=r"^training folds: the smaller class has 0 of 4"):
            list(TfidfPredictor().predict(grouped, bench(gold)))

    def test_evaluated_set_of_one_group_raises(self) -> None:
        cases, gold = labelled(8)
        grouped = [
            Case(
                judgment=Judgment(id=c.document.id, text=c.judgment.text, group="g"),
                document=c.document,
                prompt=c.prompt,
            )
            for c in cases
        ]
        with pytest.raises(UserError, match=r"^group g: all judgments are in one group"):
            list(TfidfPredictor().predict(grouped, bench(gold)))

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"classifier": "forest"}, r"^predict\.classifier: unknown classifier 'forest'"),
            ({"reads": "all"}, r"^predict\.reads: unknown reads 'all' \(use shown, tail, hidden, hidden_tail\)"),
            ({"folds": 1}, r"^predict\.folds: folds is 1"),
        ],
    )
    def test_invalid_choice_names_its_option(self, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(UserError, match=message):
            TfidfPredictor(**fields)


def test_visible_text_has_no_headings() -> None:
    blocks = (Block(role="FAC", start=0, text="One."), Block(role="RLC", start=9, text="Two."))
    assert visible_text(Document(id="j", scheme="build", headings=True, blocks=blocks)) == "One.\nTwo."
