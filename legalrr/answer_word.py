"""Find the answering word, YES or NO, in the plain text of an answer.

*Leading*: the answer starts with its word, apart from a label, an option letter, filler words or the question. This
word counts, regardless of what follows, unless the opposite follows at once ("Yes. No.") or is later named as the
answer.
*Named*: the word follows a label ("Answer:", "the answer is", a box) or a statement of the writer ("I would say"), is a
line of its own, ends the text after a colon or comma, or is in capitals or bold. The strongest kind counts; if both
words have it, there is no answer.
*Not an answer*: "no" before a noun or a number, YES next to NO, a word that is negated, doubted, questioned, reported
of someone else or part of an instruction.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from legalrr import answer_patterns as patterns
from legalrr.answer_patterns import ASSISTANT
from legalrr.records import Outcome

WINDOW = 240
"""Characters of context before a word."""


@dataclass(frozen=True, kw_only=True)
class Word:
    """A YES or NO of an answer."""

    label: Outcome
    """Its outcome."""
    start: int
    """Offset of its first character."""
    end: int
    """Offset one past its last character."""


def answer_word(text: str, *, cut: bool = False) -> Word | None:
    """Find the word that answers; None without one, or with two that differ.

    Args:
        text: the plain text of an answer.
        cut: whether it was cut off, so that its end may be incomplete.
    """
    for start, end in _model_turns(text):
        turn = _ModelTurn(text[start:end], cut=cut and end == len(text))
        word = turn.answer()
        if word is not None:
            return Word(label=word.label, start=start + word.start, end=start + word.end)
        if turn.words:
            return None
    return None


def _model_turns(text: str) -> Iterator[tuple[int, int]]:
    """Yield the passages written as the model, not those of a question that it repeats or makes up."""
    at, own = 0, True
    for mark in patterns.NEW_TURN.finditer(text):
        if mark.start() < at:
            continue
        if own and text[at : mark.start()].strip():
            yield at, mark.start()
        own, at = mark[0] == ASSISTANT or mark["model"] is not None, mark.end()
        if mark["user"] is not None and mark[0].strip()[:1] != "#":
            # A question marked in words is one line, or ends where its answer begins.
            line = text.find("\n", at)
            line = len(text) if line < 0 else line
            reply = patterns.REPLY.search(text, at, line)
            own, at = True, reply.end() if reply else line
    if own:
        yield at, len(text)


class _ModelTurn:
    """One turn of the model, with the words in it that may answer."""

    def __init__(self, text: str, *, cut: bool) -> None:
        self.text, self.cut = text, cut
        # Capitals are an emphasis only if there are small letters.
        self.has_small = re.search(r"[a-z]", re.sub(patterns.WORD, "", text)) is not None
        pairs = [pair for pair in patterns.PAIR.finditer(text) if self._is_pair(pair)]
        self.pairs = {pair.start(): pair.end() for pair in pairs}
        self.hedges = {pair.start() for pair in pairs if pair["and"] is not None}
        passed = {at for start, end in self.pairs.items() for at in range(start, end)} | self._unticked_words()
        found = [_word(match) for match in patterns.WORD.finditer(text)]
        self.words = [
            word
            for word in found
            if word.start not in passed and self._is_standalone(word) and not self._is_subject(word)
        ]
        cases = self._case_words(self.words)
        self.words = [word for word in self.words if word.start not in cases]

    def answer(self) -> Word | None:
        """Return the word that answers, or None."""
        spaced = patterns.SPACED.fullmatch(self.text)
        if spaced is not None:
            return _word(spaced)
        lead, hedged = self._leading_word()
        if lead is not None:
            return None if self._is_contradicted(lead) else lead
        kinds: list[list[Word]] = [[], [], [], []]
        for word in self.words:
            kind = self._strength(word)
            if kind is not None and not self._may_continue(word):
                kinds[kind].append(word)
        if self.cut or patterns.DRAFT.match(self.text):
            kinds = [[word for word in some if not patterns.DOUBT.search(self.text, word.end)] for some in kinds[:2]]
        if hedged:
            kinds = kinds[:1]
        kinds[1:3] = [[word for some in kinds[1:3] for word in some]]
        named = next((some for some in kinds if some), [])
        return named[-1] if len({word.label for word in named}) == 1 else None

    def _leading_word(self) -> tuple[Word | None, bool]:
        """Return the leading word, and whether both words lead ("yes and no")."""
        at, hedged = 0, False
        while True:
            word = next((word for word in self.words if word.start == at), None)
            glued = patterns.GLUED.match(self.text, at) if word is None else None
            if glued is not None and (at == 0 or not self.text[at - 1].isalnum()):
                word = _word(glued)
            if word is not None:
                return (None if hedged else word), hedged
            if at in self.pairs:
                hedged = hedged or at in self.hedges
                at = self.pairs[at]
                continue
            step = patterns.LEAD.match(self.text, at)
            if step is None or step.end() == at or any(at <= one.start < step.end() for one in self.words):
                return None, hedged
            at = step.end()

    def _is_contradicted(self, lead: Word) -> bool:
        """Return whether the opposite follows at once, corrects the answer, or is later named as the answer."""
        if patterns.BEGUN_PAIR.match(self.text, lead.end):
            return True
        if self.cut and re.search(r"\w", self.text[: lead.start]) and patterns.WAVERS.search(self.text, lead.end):
            return True
        rest = [word for word in self.words if word.start >= lead.end]
        at = lead.end
        chosen = re.search(rf"{patterns.OPTION}[^{patterns.L}]*\Z", self.text[: lead.start], re.IGNORECASE)
        for word in rest:
            again = patterns.AGAIN.match(self.text, at)
            again = patterns.NEXT_OPTION.match(self.text, at) or again if chosen else again
            if again is None or again.end() < word.start or patterns.REPORTED.match(self.text, word.end):
                break
            if word.label != lead.label:
                return True
            at = word.end
        sentence = re.compile(r"[.!?](?=\s|\Z)|\n").search(self.text, lead.end)
        first = len(self.text) if sentence is None else sentence.start()
        for word in rest:
            if word.label == lead.label or self._is_negated(word):
                continue
            before = self.text[max(lead.end, word.start - WINDOW) : word.start]
            if (
                word.start < first
                and patterns.AGAINST_LEAD.search(before)
                and patterns.AS_ANSWER.match(self.text, word.end)
            ):
                return True
            if word.start < first and (patterns.STATED.search(before) or patterns.LABEL.search(before)):
                return True
            if patterns.CORRECTED.search(before) or patterns.LABEL_LINE.search(before):
                return True
            if self._is_line(word) and self._is_emphasized(word) and not self._follows_question(word):
                return True
        return False

    def _strength(self, word: Word) -> int | None:
        """Return the kind by which the text names a word as its answer, 0 the strongest; None if it does not."""
        before = self.text[max(0, word.start - WINDOW) : word.start]
        if self._is_negated(word):
            return None
        if patterns.FINAL.search(before):
            return 0
        if patterns.LABEL.search(before):
            return 1
        if self._may_mean_loss(word, before):
            return None
        last = patterns.END.match(self.text, word.end) is not None
        sentence = re.search(r"[.!][\"'*)\]]*\s+[\"'*`(\[]*\Z", before)
        if (
            patterns.STATED.search(before)
            or (self._is_line(word) and (last or not self._follows_question(word)))
            or (patterns.LINE_END.match(self.text, word.end) and patterns.COLON.search(before))
            or (last and patterns.COMMA.search(before) and not patterns.QUESTION.search(before))
            or (sentence and (last or self._is_emphasized(word)) and not patterns.NUMBERED.search(before))
        ):
            return 2
        return 3 if self._is_emphasized(word) and not self._follows_question(word) else None

    def _is_standalone(self, word: Word) -> bool:
        """Return whether a word stands alone: not "no" before a noun or a number."""
        text = self.text[word.start : word.end]
        followed = patterns.FOLLOWED.match(self.text, word.end)
        assert followed is not None
        if not text.isascii():
            return followed["word"] is None
        if word.label == "allowed":
            return True
        before = self.text[max(0, word.start - 40) : word.start]
        if patterns.RETRACTED.match(self.text, word.end):
            return True
        if patterns.NUMBER.match(self.text, word.end) or patterns.NUMBERED.search(before):
            return False
        next_word = followed["word"]
        if next_word is None:
            return True
        if followed["hyphen"] is None and patterns.CLAUSE_WORD.fullmatch(next_word):
            return True
        capital = next_word[0].isupper()
        emphasized = text == "NO" and not (next_word.isupper() and len(next_word) > 1)
        return (emphasized and (capital or bool(followed["closers"]))) or (capital and followed["colon"] is not None)

    def _is_negated(self, word: Word) -> bool:
        """Return whether the context negates, doubts or only mentions a word."""
        before = self.text[max(0, word.start - WINDOW) : word.start]
        return bool(patterns.NO_ANSWER_AFTER.search(before) or patterns.NO_ANSWER_BEFORE.match(self.text, word.end))

    def _is_subject(self, word: Word) -> bool:
        """Return whether the sentence that a word starts is about the word, a courtesy or a refusal."""
        if patterns.DISOWNED.match(self.text, word.end):
            return True
        if word.label == "dismissed" and patterns.RETRACTED.match(self.text, word.end):
            return False
        return bool((patterns.POLITE if word.label == "allowed" else patterns.REFUSAL).match(self.text, word.end))

    def _case_words(self, words: Sequence[Word]) -> set[int]:
        """Return the starts of words that are two cases of one line: "YES if allowed, NO otherwise"."""
        found: set[int] = set()
        for one in words:
            if not patterns.CASE.match(self.text, one.end):
                continue
            end = self.text.find("\n", one.end)
            near = self.text[one.end : len(self.text) if end < 0 else end]
            others = [word for word in words if one.end <= word.start < one.end + len(near) and word.label != one.label]
            if others and (patterns.CASE.match(self.text, others[0].end) or re.search(r"\b(?:otherwise|else)\b", near)):
                found |= {one.start, others[0].start}
        return found

    def _may_continue(self, word: Word) -> bool:
        """Return whether a "no" ends a text that was cut off, so that a noun may have followed."""
        return (
            self.cut
            and word.label == "dismissed"
            and not self._is_emphasized(word)
            and not self.text[word.end :].strip()
        )

    def _follows_question(self, word: Word) -> bool:
        """Return whether a word answers a question of the text itself just before it."""
        return self.text[: word.start].rstrip(" \n\t*\"'`#>-").endswith("?")

    def _is_emphasized(self, word: Word) -> bool:
        """Return whether a word is emphasized, by markup or by capitals in a text with small letters."""
        text = self.text[word.start : word.end]
        marked = self.text[max(0, word.start - 1) : word.start] == "*" == self.text[word.end : word.end + 1]
        after = patterns.FOLLOWED.match(self.text, word.end)
        if word.label == "dismissed" and marked and text != "NO" and after is not None and after["word"]:
            return False
        return marked or (text.isupper() and self.has_small)

    def _is_line(self, word: Word) -> bool:
        """Return whether a word is a line of its own, apart from an option letter."""
        start = self.text.rfind("\n", 0, word.start) + 1
        alone = re.fullmatch(
            rf"[^{patterns.L}]*(?:{patterns.OPTION})?[^{patterns.L}]*", self.text[start : word.start], re.IGNORECASE
        )
        return alone is not None and re.compile(rf"[^{patterns.L}\n]*(?:\n|\Z)").match(self.text, word.end) is not None

    def _may_mean_loss(self, word: Word, before: str) -> bool:
        """Return whether a label before says that the case was lost, so that the word may refer to that."""
        lost = patterns.AGAINST.search(before)
        if lost is None:
            return False
        clause = re.split(r"[.;\n]", before[: lost.end()])[-1]
        return word.label == "allowed" or re.search(r"\b(?:is|be|was|must|should|fails?)\b", clause) is None

    def _is_pair(self, pair: re.Match[str]) -> bool:
        """Return whether YES and NO are listed as the two possible answers."""
        if (pair["a"].lower() in patterns.YES.split("|")) == (pair["b"].lower() in patterns.YES.split("|")):
            return False
        if pair["and"] is None:
            return True
        first, second = (Word(label="dismissed", start=pair.start(side), end=pair.end(side)) for side in "ab")
        return self._is_standalone(second) if pair["b"].lower() == "no" else self._is_standalone(first)

    def _unticked_words(self) -> set[int]:
        """Return the starts of words next to an empty box, if another box is ticked."""
        boxes = list(patterns.BOX.finditer(self.text))
        if not any(box["on"] for box in boxes):
            return set()
        empty = [box.end() for box in boxes if box["off"]]
        return {
            match.start()
            for end in empty
            if (match := patterns.WORD.match(self.text, end + len(_spaces(self.text, end))))
        }


def _spaces(text: str, at: int) -> str:
    found = re.compile(r"[\s*]*").match(text, at)
    return found[0] if found else ""


def _word(match: re.Match[str]) -> Word:
    side = "yes" if match["yes"] else "no"
    label: Outcome = "allowed" if side == "yes" else "dismissed"
    return Word(label=label, start=match.start(side), end=match.end(side))
