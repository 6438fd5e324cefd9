"""Measure a backbone for half a minute, on prompts of the plan; nothing of it is stored.

First the speed: prompts of growing length, each read once and then continued by a few tokens, alone and in a batch.
Then, in the time that is left, the conversations about one judgment, for the lengths of answers.
"""

import itertools
import time
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from legalrr.conversations import CallList
from legalrr.plan.speed import AnswerLengths, Speed, Work, fit_speed
from legalrr.protocols import Call, PromptTokens, Reply
from legalrr.records import Completion

SECONDS = 30.0
"""Duration of a calibration, without the load of the model."""
SPEED_SHARE = 0.7
"""Share of it for the speed."""
LENGTHS = (256, 768, 1536, 3072, 6144, 12288, 24576)
"""Lengths of prompts, in tokens; those that take too long are left out."""
STEPS = 12
"""Tokens written after each."""
BATCHES = {4: 1600, 16: 800}
"""Prompts of a batch -> longest prompts of which such a batch is measured, in tokens."""
ROUNDS = 3
"""Repetitions, where there is time."""
LEAST_TOKENS = 8
"""An answer is sampled if there is time for so many tokens."""


@dataclass
class Calibration:
    """Measures one engine."""

    engine: PromptTokens
    """The engine; its model is loaded at the first call."""
    samples: Sequence[tuple[int, Call]]
    """Tokens and call of first turns of the plan, at least one."""
    seconds: float = SECONDS
    """Duration, without the load of the model."""
    clock: Callable[[], float] = time.perf_counter
    """Clock of the measurements."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def speed(self) -> Speed:
        """Measure the speed; raises UserError if the engine fails."""
        length, longest = max(self.samples, key=lambda sample: sample[0])
        load = self.load()
        # Once more, as the first call also compiles and allocates.
        self._run([self._cut(longest, 16)], 1)
        measured: list[tuple[Work, float]] = []
        started = time.perf_counter()
        end = started + SPEED_SHARE * self.seconds
        lengths = [one for one in LENGTHS if one < length] + [length]
        for _ in range(ROUNDS):
            taken = 0.0
            for n, following in zip(lengths, [*lengths[1:], None], strict=True):
                prompt = self._cut(longest, n)
                read = self._run([prompt], 1, keep=True)
                taken = read[1]
                measured += [read, self._run([prompt], STEPS, keep=True)]
                batches = [rows for rows, most in BATCHES.items() if n <= most]
                if batches:
                    # Two texts of different length, as the arms of a judgment: rows are padded, and some are alike.
                    other = self._cut(longest, n - n // 16)
                    measured.append(self._run([other], 1, keep=True))
                    measured += [self._run([prompt, other] * (rows // 2), STEPS) for rows in batches]
                if following is not None and time.perf_counter() + taken * (following / n) ** 1.5 > end:
                    break
            if time.perf_counter() + 3 * taken > end:
                break
        return fit_speed(measured, load=load, seconds=time.perf_counter() - started)

    def load(self) -> float:
        """Make the first call, which loads the model; return its seconds."""
        _, longest = max(self.samples, key=lambda sample: sample[0])
        started = time.perf_counter()
        self._run([self._cut(longest, 16)], 1)
        return time.perf_counter() - started

    def sample(
        self,
        conversations: Mapping[Hashable, Generator[Call, Reply, Completion]],
        speed: Speed,
        lengths: AnswerLengths,
    ) -> int:
        """Run conversations as far as the time allows; return the number of answers, whose lengths are added.

        An answer that is cut off for lack of time counts as long as its limit.

        Args:
            conversations: those about one judgment, not started.
            speed: the measured speed.
            lengths: receives the lengths.
        """
        end = time.perf_counter() + max(self.seconds - speed.seconds, (1 - SPEED_SHARE) * self.seconds)
        found = 0
        replies: dict[Hashable, Reply | None] = dict.fromkeys(conversations)
        while replies:
            asked: dict[Hashable, Call] = {}
            for name, reply in replies.items():
                try:
                    asked[name] = next(conversations[name]) if reply is None else conversations[name].send(reply)
                except StopIteration:
                    continue
            distinct = {call.key: call for call in asked.values()}
            left = end - time.perf_counter() - self._reading(list(distinct.values()), speed, first=not found)
            each = speed.step(len(distinct), max(length for length, _ in self.samples))
            affordable = int(left / each) if each else 10**9
            if affordable < LEAST_TOKENS:
                return found
            given = dict(self._answers(list(distinct.values()), affordable))
            for key, call in distinct.items():
                if call.max_new_tokens and given[key].finish_reason != "overflow":
                    cut = given[key].finish_reason == "length"
                    whole = int(lengths.most(call.max_new_tokens))
                    lengths.add(call.max_new_tokens, whole if cut else given[key].new_tokens)
                    found += 1
            if any(
                given[key].finish_reason == "length" and call.max_new_tokens > affordable
                for key, call in distinct.items()
            ):
                return found
            replies = {name: given[call.key] for name, call in asked.items()}
        return found

    def _reading(self, calls: Sequence[Call], speed: Speed, *, first: bool) -> float:
        """Predict the seconds of reading first prompts, as if they had nothing in common; others are mostly read."""
        if not first:
            return 0.0
        lengths = [len(self.engine.prompt_ids(call)) for call in calls]
        return sum(speed.time(Work(rows=1, read=n, attended=n * n / 2, steps=0, seen=0)) for n in lengths)

    def _answers(self, calls: Sequence[Call], affordable: int) -> Iterator[tuple[str, Reply]]:
        made = [
            call if call.answers else replace(call, max_new_tokens=min(call.max_new_tokens, affordable))
            for call in calls
        ]
        for batch in self.engine.answer(CallList(made)):
            yield from batch

    def _cut(self, call: Call, tokens: int) -> Call:
        """Return a prompt of about `tokens` tokens from the beginning of a call, unlike all earlier ones."""
        last = call.messages[-1]
        content = last["content"]
        if not isinstance(content, str):
            return call
        text = f"{next(self._numbers)} {content}"
        ends = self.engine.token_ends(text)
        return replace(
            call,
            messages=({**last, "content": text[: ends[min(tokens, len(ends)) - 1]]},),
            choices=(),
            answers=(),
        )

    def _run(self, calls: Sequence[Call], steps: int, *, keep: bool = False) -> tuple[Work, float]:
        """Answer calls with `steps` tokens each at most; return the work and its seconds."""
        made = [
            replace(call, key=f"calibration {next(self._numbers)}", max_new_tokens=steps, final=not keep)
            for call in calls
        ]
        started = self.clock()
        given = {key: reply for batch in self.engine.answer(CallList(made)) for key, reply in batch}
        seconds = self.clock() - started
        replies = [given[call.key] for call in made]
        written = max((reply.new_tokens for reply in replies), default=1)
        # The last token of a prompt is read with the first step.
        read = [max(reply.prompt_tokens - reply.cached_tokens - 1, 0) for reply in replies]
        # Equal prompts have their states once.
        states = {str(call.messages): reply.prompt_tokens for call, reply in zip(made, replies, strict=True)}
        attended = sum(n * (reply.prompt_tokens - n / 2) for n, reply in zip(read, replies, strict=True))
        seen = sum(states.values()) + len(made) * written / 2
        return Work(rows=len(made), read=sum(read), attended=attended, steps=max(written, 1), seen=seen), seconds
