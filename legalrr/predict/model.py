"""Ask a backbone: turn by turn over all judgments, every call stored as soon as its batch is back.

Calls are stored per call, not per run: two arms that ask the same thing ask it once, and a run that was killed goes on
where it stopped.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

from legalrr.errors import UserError
from legalrr.progress import progress
from legalrr.protocols import Bench, Call, Engine, Reply
from legalrr.records import Case, CompletedTurn, Completion, PromptTurn
from legalrr.stage import digest, runtime
from legalrr.store import Store
from legalrr.verdict import BLANK, thought_end

SCORINGS = ("generate", "compare", "calibrated")
ANSWERS = ("YES", "NO")


@dataclass(frozen=True, kw_only=True)
class ModelPredictor:
    """The predictor that asks a language model."""

    scoring: str = "generate"
    """How the last turn is answered: `generate` text; `compare` the probabilities of YES and NO; `calibrated`: compare,
    less the prior that the model gives the answers about a judgment without content (one-turn prompts only)."""

    group: int = runtime(default=24)
    """Judgments that go through all their turns together: more are written faster, fewer leave a turn's states in the
    backbone's prefix cache until the next one asks for them."""

    VERSION: ClassVar[int] = 1
    needs_backbone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a scoring that does not exist."""
        if self.scoring not in SCORINGS:
            raise UserError(
                f"unknown scoring {self.scoring!r}", where="predict.scoring", cure=f"use {', '.join(SCORINGS)}"
            )
        if self.group < 1:
            raise UserError(f"a group of {self.group}", where="predict.group", cure="give 1 or more")

    def predict(self, cases: Sequence[Case], bench: Bench) -> Iterator[Completion]:
        """See `legalrr.protocols.Predictor`; raises UserError where the engine cannot do what `scoring` needs."""
        engine = bench.engine
        if engine is None:
            raise UserError(
                "predict=model without a backbone", where="backbone", cure="choose one, e.g. backbone=smollm2"
            )
        if self.scoring != "generate" and not engine.can.logprobs:
            raise UserError(
                "this backbone gives no log-probabilities", where="predict.scoring", cure="use predict.scoring=generate"
            )
        asked = sum(len(c.prompt.turns) + (self.scoring == "calibrated") for c in cases if not c.document.skipped)
        with progress("predict", asked, "calls") as advance:
            for start in range(0, len(cases), self.group):
                yield from self._converse(cases[start : start + self.group], bench.calls, engine, advance)

    def _converse(
        self, cases: Sequence[Case], store: Store, engine: Engine, advance: Callable[[int], None]
    ) -> Iterator[Completion]:
        """All turns of some judgments: turn by turn, so that a turn's answers are written together."""
        done: dict[str, list[CompletedTurn]] = {case.document.id: [] for case in cases}
        alive = {case.document.id: case.prompt for case in cases if not case.document.skipped}
        for case in cases:
            if case.document.skipped:
                last = case.prompt.turns[-1].name
                done[case.document.id].append(CompletedTurn(name=last, text="", finish_reason="overflow"))
        if self.scoring == "calibrated":
            blanks = {id: _blank(prompt.blank) for id, prompt in alive.items()}
            for id, turn in self._ask(blanks, {}, store, engine, advance).items():
                done[id].append(turn)
        for step in range(max((len(p.turns) for p in alive.values()), default=0)):
            asked = {id: p.turns[step] for id, p in alive.items() if len(p.turns) > step}
            # What a reasoning model thinks is no part of its answer, so a later turn does not quote it.
            said = {id: {t.name: t.text[thought_end(t.text) :] for t in done[id]} for id in asked}
            for id, turn in self._ask(asked, said, store, engine, advance).items():
                done[id].append(turn)
                if turn.finish_reason == "overflow":
                    advance(len(alive.pop(id).turns) - step - 1)
        for id, turns in done.items():
            yield Completion(id=id, turns=tuple(turns))

    def _ask(
        self,
        asked: dict[str, PromptTurn],
        said: dict[str, dict[str, str]],
        store: Store,
        engine: Engine,
        advance: Callable[[int], None],
    ) -> dict[str, CompletedTurn]:
        """One turn of every judgment: from the store where it is there, else from the engine by way of the store."""
        calls = {id: self._call(turn, said.get(id, {})) for id, turn in asked.items()}
        missing = {call.key: call for call in calls.values() if call.key not in store}
        compared = [call for call in missing.values() if call.answers]
        written = [call for call in missing.values() if not call.answers]
        advance(len(calls) - len(missing))
        for batches in (engine.compare(compared) if compared else (), engine.generate(written) if written else ()):
            for batch in batches:
                store.add((key, asdict(reply)) for key, reply in batch)
                advance(len(batch))
        return {id: Reply(**store[call.key]).as_turn(asked[id].name) for id, call in calls.items()}

    def _call(self, turn: PromptTurn, said: dict[str, str]) -> Call:
        messages = tuple(message.fill(said) for message in turn.messages)
        if self.scoring != "generate" and turn.name in ("answer", BLANK):
            key = digest({"compare": list(ANSWERS), "messages": list(messages)})
            return Call(key=key, messages=messages, answers=ANSWERS)
        key = digest({"generate": turn.max_new_tokens, "messages": list(messages)})
        return Call(key=key, messages=messages, max_new_tokens=turn.max_new_tokens)


def _blank(turn: PromptTurn | None) -> PromptTurn:
    if turn is None:
        raise UserError(
            "the prior can only be taken off where the answer is asked at once",
            where="predict.scoring",
            cure="use calibrated with annotate.direct=true",
        )
    return PromptTurn(name=BLANK, messages=turn.messages, max_new_tokens=turn.max_new_tokens)
