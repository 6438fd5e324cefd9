"""Ask a backbone about judgments, turn by turn (`legalrr.predict.talk`).

Calls are stored per call, not per run: two arms that ask the same thing ask it once, and a run that was killed goes on
where it stopped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from legalrr.errors import UserError
from legalrr.predict.talk import Talk, lead
from legalrr.progress import progress
from legalrr.protocols import Bench, Call, Engine
from legalrr.records import Case, CompletedTurn, Completion, PromptTurn
from legalrr.stage import at_least, check_fields, choice, digest
from legalrr.thoughts import thought_end
from legalrr.verdict import BLANK

SCORINGS = ("generate", "choose", "compare", "calibrated")
COMPARED = ("compare", "calibrated")
"""Scorings whose last turn has log-probabilities and no text."""
ANSWERS = ("YES", "NO")


@dataclass(frozen=True, kw_only=True)
class ModelPredictor:
    """The predictor that asks a language model."""

    scoring: str = choice("generate", *SCORINGS)
    """How the last turn is answered: `generate` text; `choose`: write YES or NO, as nothing else may be written;
    `compare` the probabilities of YES and NO; `calibrated`: compare, less the prior that the model gives the answers
    about a judgment without content (one-turn prompts only)."""

    group: int = at_least(1, 24, runtime=True)
    """Judgments that go through all their turns together: more are written faster, fewer leave a turn's states in the
    backbone's prefix cache until the next one asks for them."""

    VERSION: ClassVar[int] = 1
    needs_backbone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse choices that do not exist."""
        check_fields(self, "predict")

    def check(self, engine: Engine) -> None:
        """Raises UserError where the engine cannot do what `scoring` needs."""
        for need, can, fault in (
            (COMPARED, engine.can.logprobs, "this backbone gives no log-probabilities"),
            (("choose",), engine.can.structured, "this backbone cannot be held to given answers"),
        ):
            if self.scoring in need and not can:
                raise UserError(fault, where="predict.scoring", cure="use predict.scoring=generate")

    def predict(self, cases: Sequence[Case], bench: Bench) -> Iterator[Completion]:
        """See `legalrr.protocols.Predictor`; raises UserError as `check` does."""
        engine = bench.engine
        if engine is None:
            raise UserError(
                "predict=model without a backbone", where="backbone", cure="choose one, e.g. backbone=smollm2"
            )
        self.check(engine)
        calls = {case.document.id: self.calls(case) for case in cases}
        with progress("predict", sum(calls.values()), "calls") as advance:
            for start in range(0, len(cases), self.group):
                talks = {case.document.id: self.talk(case) for case in cases[start : start + self.group]}
                led = lead(talks, bench.calls, engine, fresh=bench.tally.fresh, used=bench.tally.count, advance=advance)
                for id, completion in led:
                    # After an overflow the later turns are not asked.
                    advance(max(0, calls[id] - len(completion.turns)))
                    yield completion

    def calls(self, case: Case) -> int:
        """Calls that a talk takes, unless one does not fit."""
        return 0 if case.document.skipped else len(case.prompt.turns) + (self.scoring == "calibrated")

    def talk(self, case: Case) -> Talk:
        """All turns of the conversation about one judgment; it ends early where one does not fit the context."""
        id, turns = case.document.id, case.prompt.turns
        if case.document.skipped:
            return Completion(id=id, turns=(CompletedTurn(name=turns[-1].name, text="", finish_reason="overflow"),))
        if self.scoring == "calibrated":
            turns = (_blank(case.prompt.blank), *turns)
        done: list[CompletedTurn] = []
        said: dict[str, str] = {}
        for turn in turns:
            reply = yield replace(self._call(turn, said), final=turn is turns[-1])
            done.append(reply.as_turn(turn.name))
            if reply.finish_reason == "overflow":
                break
            # What a reasoning model thinks is no part of its answer, so a later turn does not quote it.
            said[turn.name] = reply.text[thought_end(reply.text) :]
        return Completion(id=id, turns=tuple(done))

    def _call(self, turn: PromptTurn, said: dict[str, str]) -> Call:
        messages = tuple(message.fill(said) for message in turn.messages)
        pages = tuple(page for message in turn.messages for page in message.pages)
        last = turn.name in ("answer", BLANK)
        if self.scoring in COMPARED and last:
            key = digest({"compare": list(ANSWERS), "messages": list(messages)})
            return Call(key=key, messages=messages, answers=ANSWERS, pages=pages)
        asked: dict[str, Any] = {"generate": turn.max_new_tokens, "messages": list(messages)}
        choices = ANSWERS if self.scoring == "choose" and last else ()
        key = digest(asked | ({"choose": list(choices)} if choices else {}))
        return Call(key=key, messages=messages, max_new_tokens=turn.max_new_tokens, choices=choices, pages=pages)


def _blank(turn: PromptTurn | None) -> PromptTurn:
    if turn is None:
        raise UserError(
            "the prior can only be taken off where the answer is asked at once",
            where="predict.scoring",
            cure="use calibrated with annotate.direct=true",
        )
    return PromptTurn(name=BLANK, messages=turn.messages, max_new_tokens=turn.max_new_tokens)
