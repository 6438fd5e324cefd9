"""The LLM tagger: parsing of answers, windows, policies for missing answers, and stored calls."""

import logging
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from legalrr.backbones.echo import EchoBackbone
from legalrr.errors import UserError
from legalrr.paths import root
from legalrr.protocols import Abilities, AskingSegmenter, Call, Reply, Segmenter
from legalrr.records import Judgment
from legalrr.run.cell import run_cell
from legalrr.run.pipeline import Pipeline, build_pipeline
from legalrr.segment.llm import LlmSegmenter, parse_answer
from legalrr.segment.tagger import load_tagger
from legalrr.sentences import split
from legalrr.stage import digest, identity
from legalrr.store import Store

TEXT = "\n".join(f"The tenant number {n} paid no rent for the shop." for n in range(10))
CODES = {"FAC", "RPC", "NONE"}


class Fake:
    """Engine that answers by a function of the numbered sentences and records its calls."""

    can = Abilities(logprobs=False, structured=False, images=False, seed=False)

    def __init__(self, says: Callable[[list[str]], str], *, context: int = 100_000, finish: str = "stop") -> None:
        self.context = context
        self.calls: list[Call] = []
        self._says = says
        self._finish = finish

    def token_ends(self, text: str) -> list[int]:
        return list(range(1, len(text) + 1))

    holds = None

    def answer(self, queue):
        calls = queue.take()
        assert not any(call.answers for call in calls)
        self.calls += calls
        for call in reversed(calls):
            text = self._says(prompted_sentences(call))
            yield [
                (
                    call.key,
                    Reply(
                        text=text,
                        finish_reason=self._finish,
                        prompt_tokens=1,
                        cached_tokens=0,
                        new_tokens=1,
                        seconds=0.0,
                    ),
                )
            ]


def prompted_sentences(call: Call) -> list[str]:
    """Return the sentences in the prompt of a call, in order."""
    lines = call.messages[-1]["content"].splitlines()
    return [line.split(": ", 1)[1] for line in lines if line.split(": ", 1)[0].isdigit()]


def tokens(call: Call) -> int:
    """Count the tokens of prompt and answer, one per character."""
    return sum(len(m["content"]) for m in call.messages) + call.max_new_tokens


def every(role: str) -> Callable[[list[str]], str]:
    return lambda sentences: "\n".join(f"{n}: {role}" for n, _ in enumerate(sentences, 1))


def tag(segmenter: LlmSegmenter, engine: Fake, folder: Path, text: str = TEXT, calls: Store | None = None):
    with segmenter.asking(engine, calls or Store(folder / "calls", {})) as tagger:
        return tagger.segment(Judgment(id="j", text=text))


class TestParseAnswer:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("1: FAC\n2: RPC", {1: "FAC", 2: "RPC"}),
            ("  1: FAC  \n\n2: NONE\n", {1: "FAC", 2: "NONE"}),
            ("1: FAC\n1: FAC", {1: "FAC"}),
            ("1: FAC\n1: RPC\n2: FAC", {2: "FAC"}),
            ("1: Facts\n2: fac\n3: RATIO", {}),
            ("1. FAC\n1 : FAC\n1:FAC\n- 1: FAC\n1: FAC.\n1: FAC RPC\nSentence 1: FAC", {}),
            ("0: FAC\n-1: FAC\n٣: FAC\n99999: FAC", {}),
            ("1: FAC, 2: RPC", {}),
            ('{"1": "FAC"}', {}),
            ("", {}),
            ("1: RPC\n</think>\n1: FAC", {1: "FAC"}),
        ],
    )
    def test_only_lines_of_a_number_and_a_role_are_parsed(self, text, found):
        assert parse_answer(text, CODES, whole=True) == found

    def test_the_last_line_of_a_truncated_answer_is_ignored(self):
        assert parse_answer("1: FAC\n2: RPC", CODES, whole=False) == {1: "FAC"}
        assert parse_answer("1: FAC\n2: RPC\n", CODES, whole=False) == {1: "FAC", 2: "RPC"}


class TestRoles:
    def test_each_sentence_gets_the_answered_role_with_score_1(self, tmp_path):
        def says(sentences):
            return "\n".join(f"{n}: {'RPC' if 'number 7' in s else 'FAC'}" for n, s in enumerate(sentences, 1))

        found = tag(LlmSegmenter(window=4, overlap=2), Fake(says), tmp_path)
        assert [(s.start, s.end) for s in found.spans] == split(TEXT)
        assert [s.role for s in found.spans] == ["FAC"] * 7 + ["RPC"] + ["FAC"] * 2
        assert {s.score for s in found.spans} == {1.0}
        assert (found.id, found.scheme) == ("j", "build")

    def test_windows_overlap_and_number_their_sentences_from_1(self, tmp_path):
        engine = Fake(every("FAC"))
        tag(LlmSegmenter(window=4, overlap=2), engine, tmp_path)
        assert [[s.split()[3] for s in prompted_sentences(call)] for call in engine.calls] == [
            ["0", "1", "2", "3"],
            ["2", "3", "4", "5"],
            ["4", "5", "6", "7"],
            ["6", "7", "8", "9"],
        ]
        assert "Sentences 3 to 6 of 10" in engine.calls[1].messages[-1]["content"]
        assert "\n1: The tenant number 2 " in engine.calls[1].messages[-1]["content"]

    def test_of_two_answers_the_one_with_more_context_or_the_earlier_counts(self, tmp_path):
        def says(sentences):
            return every("FAC" if "number 0" in sentences[0] else "RPC")(sentences)

        # 0 1 2 3 4 5 | 3 4 5 6 7 8 | 6 7 8 9: sentence 4 is followed by one sentence in the first window and preceded
        # by one in the second.
        found = tag(LlmSegmenter(window=6, overlap=3), Fake(says), tmp_path)
        assert [s.role for s in found.spans] == ["FAC"] * 5 + ["RPC"] * 5

    def test_a_missing_answer_of_one_window_is_taken_from_another(self, tmp_path):
        def says(sentences):
            return "I cannot." if "number 0" in sentences[0] else every("RPC")(sentences)

        found = tag(LlmSegmenter(window=6, overlap=3), Fake(says), tmp_path)
        assert [s.start for s in found.spans] == [start for start, _ in split(TEXT)[3:]]

    def test_the_prompt_defines_the_roles_of_the_scheme(self, tmp_path):
        engine = Fake(every("ARG"))
        found = tag(LlmSegmenter(scheme="seven"), engine, tmp_path)
        system = engine.calls[0].messages[0]["content"]
        assert "- ARG: what the parties urge" in system
        assert "ANALYSIS" not in system
        assert {s.role for s in found.spans} == {"ARG"}

    def test_the_first_user_message_starts_with_the_system_message_for_models_without_a_system_role(self, tmp_path):
        own, merged = Fake(every("FAC")), Fake(every("FAC"))
        tag(LlmSegmenter(), own, tmp_path / "own")
        tag(LlmSegmenter(system="first_user"), merged, tmp_path / "merged")
        system, user = own.calls[0].messages
        assert (system["role"], user["role"]) == ("system", "user")
        content = f"{system['content']}\n\n{user['content']}"
        assert [call.messages for call in merged.calls] == [({"role": "user", "content": content},)]

    def test_template_syntax_in_the_text_is_not_rendered(self, tmp_path):
        engine = Fake(every("FAC"))
        tag(LlmSegmenter(), engine, tmp_path, text="He wrote {{ scheme }} and {% if %} on <b>the deed</b>.")
        assert prompted_sentences(engine.calls[0]) == ["He wrote {{ scheme }} and {% if %} on <b>the deed</b>."]

    def test_a_text_without_sentences_makes_no_call(self, tmp_path):
        engine = Fake(every("FAC"))
        assert tag(LlmSegmenter(), engine, tmp_path, text=" \n").spans == ()
        assert engine.calls == []


class TestUnanswered:
    def some(self, sentences):
        return "\n".join(f"{n}: RPC" for n, s in enumerate(sentences, 1) if int(s.split()[3]) in (2, 5))

    def test_uncovered_sentences_have_no_span(self, tmp_path):
        found = tag(LlmSegmenter(unanswered="uncovered"), Fake(self.some), tmp_path)
        offsets = split(TEXT)
        assert [(s.start, s.end) for s in found.spans] == [offsets[2], offsets[5]]

    def test_previous_repeats_the_role_with_score_0_and_skips_the_first(self, tmp_path):
        found = tag(LlmSegmenter(unanswered="previous"), Fake(self.some), tmp_path)
        assert [s.start for s in found.spans] == [start for start, _ in split(TEXT)[2:]]
        assert [s.score for s in found.spans] == [1, 0, 0, 1, 0, 0, 0, 0]
        assert {s.role for s in found.spans} == {"RPC"}

    def test_a_fallback_role_has_score_0(self, tmp_path):
        found = tag(LlmSegmenter(unanswered="NONE"), Fake(self.some), tmp_path)
        assert [(s.role, s.score) for s in found.spans[:3]] == [("NONE", 0), ("NONE", 0), ("RPC", 1)]

    def test_error_names_judgment_place_and_cure(self, tmp_path):
        start, end = split(TEXT)[0]
        with pytest.raises(UserError, match=rf"j: no valid answer for 8 of 10 sentences, first for {start} to {end}"):
            tag(LlmSegmenter(unanswered="error"), Fake(self.some), tmp_path)

    def test_unanswered_sentences_are_counted_in_the_log(self, tmp_path, caplog):
        with caplog.at_level(logging.WARNING):
            tag(LlmSegmenter(), Fake(self.some), tmp_path)
        assert "8 of 10 sentences without a valid answer (segment.unanswered=uncovered)" in caplog.text

    def test_nothing_is_logged_if_all_are_answered(self, tmp_path, caplog):
        tag(LlmSegmenter(), Fake(every("FAC")), tmp_path)
        assert caplog.text == ""

    def test_the_sentences_of_a_refused_window_are_unanswered_and_the_window_is_asked_again(self, tmp_path, caplog):
        segmenter = LlmSegmenter(window=6, overlap=2)

        class Refusing(Fake):
            def answer(self, queue):
                for batch in super().answer(queue):
                    ((key, reply),) = batch
                    yield [(key, replace(reply, error="not today") if key == self.calls[0].key else reply)]

        found = tag(segmenter, Refusing(every("FAC")), tmp_path)
        assert [s.start for s in found.spans] == [start for start, _ in split(TEXT)[4:]]
        assert "j: 1 of 2 windows refused: not today" in caplog.text
        again = Fake(every("FAC"))
        assert len(tag(segmenter, again, tmp_path).spans) == 10
        assert len(again.calls) == 1
        with pytest.raises(UserError, match="j: no valid answer for 4 of 10 sentences"):
            tag(replace(segmenter, unanswered="error"), Refusing(every("FAC")), tmp_path / "other")

    def test_a_truncated_answer_loses_its_last_line(self, tmp_path):
        found = tag(LlmSegmenter(window=10, overlap=0), Fake(every("FAC"), finish="length"), tmp_path)
        assert len(found.spans) == 9


class TestCalls:
    def test_stored_answers_are_reused(self, tmp_path):
        segmenter = LlmSegmenter(window=4, overlap=2)
        first, second = Fake(every("FAC")), Fake(every("RPC"))
        assert tag(segmenter, first, tmp_path) == tag(segmenter, second, tmp_path)
        assert (len(first.calls), second.calls) == (4, [])

    def test_an_edited_sentence_repeats_only_its_windows(self, tmp_path):
        segmenter = LlmSegmenter(window=4, overlap=2)
        tag(segmenter, Fake(every("FAC")), tmp_path)
        engine = Fake(every("RPC"))
        tag(segmenter, engine, tmp_path, text=TEXT.replace("number 0 paid", "number 0 owed"))
        assert [prompted_sentences(call)[0].split()[3] for call in engine.calls] == ["0"]

    def test_prompt_and_answer_fit_the_context(self, tmp_path):
        roomy = Fake(every("FAC"))
        tag(LlmSegmenter(), roomy, tmp_path)
        assert len(roomy.calls) == 1
        engine = Fake(every("FAC"), context=tokens(roomy.calls[0]) - 200)
        found = tag(LlmSegmenter(), engine, tmp_path)
        assert len(engine.calls) > 1
        assert max(map(tokens, engine.calls)) <= engine.context
        assert len(found.spans) == 10

    def test_a_context_without_room_for_a_sentence_is_an_error(self, tmp_path):
        with pytest.raises(UserError, match=r"j: a sentence takes .* tokens; the context has room for 0"):
            tag(LlmSegmenter(), Fake(every("FAC"), context=100), tmp_path)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"scheme": "nine"}, "segment.scheme"),
        ({"unanswered": "FACTS"}, "segment.unanswered: unknown policy 'FACTS'"),
        ({"scheme": "seven", "unanswered": "NONE"}, "segment.unanswered"),
        ({"window": 0}, "segment.window"),
        ({"window": 8, "overlap": 5}, r"segment.overlap: overlap is 5 \(give 0 to 4"),
        ({"overlap": -1}, "segment.overlap"),
        ({"longest": 3}, "segment.longest"),
        ({"answer_tokens": 0}, "segment.answer_tokens"),
        ({"system": "none"}, r"segment.system: unknown system 'none' \(use own or first_user\)"),
    ],
)
def test_invalid_options_are_rejected_by_name(options, named):
    with pytest.raises(UserError, match=named):
        LlmSegmenter(**options)


def test_the_choice_of_the_prompt_is_that_of_the_tagger_and_only_another_one_enters_its_identity(tmp_path):
    plain, merged = (pipeline(tmp_path, *more).segment for more in ([], ["annotate.system=first_user"]))
    assert (plain.system, merged.system) == ("own", "first_user")
    assert identity(plain) == identity(LlmSegmenter()) != identity(merged)
    assert load_tagger("llm", scheme="build") == LlmSegmenter()


def test_provenance_is_the_digest_of_the_prompt_template():
    words = (files("legalrr.annotate") / "tagging.j2").read_text("utf-8")
    assert LlmSegmenter().provenance() == {"prompt_sha256": digest(words)}


def test_the_error_without_a_backbone_names_the_command():
    assert isinstance(LlmSegmenter(), Segmenter)
    assert isinstance(LlmSegmenter(), AskingSegmenter)
    with pytest.raises(UserError, match="legalrr segment=llm"):
        LlmSegmenter().segment(Judgment(id="j", text=TEXT))


def pipeline(folder: Path, *overrides: str) -> Pipeline:
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        return build_pipeline(
            compose("config", ["backbone=echo", "segment=llm", "limit=2", f"runs={folder}", *overrides])
        )


class TestCell:
    def test_a_cell_runs_and_stores_calls_and_roles(self, tmp_path, caplog):
        record = run_cell(pipeline(tmp_path, "arm=direct", "restructure.overflow=middle"), tmp_path / "cell")
        assert record["stages"]["segment"]["class"] == "legalrr.segment.llm.LlmSegmenter"
        assert "sentences without a valid answer" in caplog.text
        calls = list((tmp_path / "cache" / "predict").glob("*/*.jsonl"))
        roles = list((tmp_path / "cache" / "segment").glob("*/*.jsonl"))
        assert len(calls) == 2
        assert len(roles) == 1
        caplog.clear()
        again = run_cell(pipeline(tmp_path, "arm=direct", "restructure.overflow=middle"), tmp_path / "again")
        assert again["calls"] == {"made": 0, "stored": 2}
        assert "without a valid answer" not in caplog.text

    def test_a_baseline_cell_records_the_backbone_of_the_tagger(self, tmp_path):
        record = run_cell(pipeline(tmp_path, "arm=majority"), tmp_path / "cell")
        assert "backbone" in record["stages"]
        assert "backbone" in record["provenance"]

    def test_roles_of_another_backbone_are_not_reused(self, tmp_path):
        run_cell(pipeline(tmp_path, "arm=majority"), tmp_path / "cell")
        run_cell(pipeline(tmp_path, "arm=majority", "backbone.context=4000"), tmp_path / "other")
        assert len(list((tmp_path / "cache" / "segment").glob("*"))) == 2

    def test_the_policy_error_fails_the_cell_by_name(self, tmp_path):
        with pytest.raises(UserError, match="no valid answer for"):
            run_cell(pipeline(tmp_path, "arm=majority", "segment.unanswered=error"), tmp_path / "cell")


def test_the_echo_backbone_answers_no_sentence(tmp_path):
    with LlmSegmenter().asking(EchoBackbone().load(), Store(tmp_path, {})) as tagger:
        found = tagger.segment(Judgment(id="j", text=TEXT))
    assert (found.spans, tagger.sentences, tagger.unanswered) == ((), 10, 10)


@pytest.mark.model
def test_the_shipped_model_answers_and_its_stored_answers_agree(tmp_path):
    backbone = pipeline(tmp_path, "backbone=smollm2", "arm=majority").backbone
    text = "\n".join(TEXT.splitlines()[:4])
    segmenter = LlmSegmenter(window=2, overlap=0, unanswered="previous")
    found = []
    for _ in range(2):
        store = Store(tmp_path / "calls", {})
        with segmenter.asking(backbone.load(), store) as tagger:
            found.append(tagger.segment(Judgment(id="j", text=text)))
        store.close()
    assert found[0] == found[1]
    assert len(store) == 2
    assert replace(found[0], spans=()).scheme == "build"
