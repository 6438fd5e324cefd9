"""Find the word that answers, YES or NO, in the plain text of an answer.

*Leading*: the answer begins with its word, but for a label, an option letter, filler words or the question. It is read
by that word, whatever follows, unless the opposite follows at once ("Yes. No.") or is named later as the answer.
*Named*: the word stands after a label ("Answer:", "the answer is", a box), a statement of the writer ("I would say"),
as a line of its own, at the end after a colon or comma, or in capitals or bold. The strongest kind counts; two answers
of it are none.
*Not an answer*: "no" before a noun or a number, YES beside NO, a word that is denied, doubted, questioned, told of
another or part of an instruction.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from legalrr import answer_patterns as patterns
from legalrr.answer_patterns import ASSISTANT
from legalrr.records import Outcome

WINDOW = 240
"""Characters before a word that say what it is."""


@dataclass(frozen=True, kw_only=True)
class Word:
    """A YES or NO of an answer."""

    label: Outcome
    """What it says."""
    start: int
    """Where it begins."""
    end: int
    """Where it ends."""


def answer_word(text: str, *, cut: bool = False) -> Word | None:
    """The word that answers; None where none does, or two do.

    Args:
        text: the plain text of an answer.
        cut: whether it was cut off, so that what has been said at its end may not be all.
    """
    for start, end in _own_turns(text):
        stretch = _Stretch(text[start:end], cut=cut and end == len(text))
        word = stretch.answer()
        if word is not None:
            return Word(label=word.label, start=start + word.start, end=start + word.end)
        if stretch.words:
            return None
    return None


def _own_turns(text: str) -> Iterator[tuple[int, int]]:
    """The stretches that are the model's own, not a question that it repeats or makes up."""
    at, own = 0, True
    for mark in patterns.NEW_TURN.finditer(text):
        if mark.start() < at:
            continue
        if own and text[at : mark.start()].strip():
            yield at, mark.start()
        own, at = mark[0] == ASSISTANT or mark["model"] is not None, mark.end()
        if mark["user"] is not None and mark[0].strip()[:1] != "#":
            # A question in words is one line, or ends where an answer to it begins.
            line = text.find("\n", at)
            line = len(text) if line < 0 else line
            reply = patterns.REPLY.search(text, at, line)
            own, at = True, reply.end() if reply else line
    if own:
        yield at, len(text)


class _Stretch:
    """What the model said in one turn, and the words in it that may answer."""

    def __init__(self, text: str, *, cut: bool) -> None:
        self.text, self.cut = text, cut
        # Capitals stand out only where there are small letters.
        self.has_small = re.search(r"[a-z]", re.sub(patterns.WORD, "", text)) is not None
        pairs = [pair for pair in patterns.PAIR.finditer(text) if self._is_pair(pair)]
        self.pairs = {pair.start(): pair.end() for pair in pairs}
        self.hedges = {pair.start() for pair in pairs if pair["and"] is not None}
        passed = {at for start, end in self.pairs.items() for at in range(start, end)} | self._unticked()
        found = [_word(match) for match in patterns.WORD.finditer(text)]
        self.words = [
            word for word in found if word.start not in passed and self._stands(word) and not self._disowned(word)
        ]
        cases = self._cases(self.words)
        self.words = [word for word in self.words if word.start not in cases]

    def answer(self) -> Word | None:
        """The word that answers."""
        spaced = patterns.SPACED.fullmatch(self.text)
        if spaced is not None:
            return _word(spaced)
        lead, hedged = self._lead()
        if lead is not None:
            return None if self._contradicted(lead) else lead
        kinds: list[list[Word]] = [[], [], [], []]
        for word in self.words:
            kind = self._kind(word)
            if kind is not None and not self._open(word):
                kinds[kind].append(word)
        if self.cut or patterns.DRAFT.match(self.text):
            kinds = [[word for word in some if not patterns.DOUBT.search(self.text, word.end)] for some in kinds[:2]]
        if hedged:
            kinds = kinds[:1]
        kinds[1:3] = [[word for some in kinds[1:3] for word in some]]
        named = next((some for some in kinds if some), [])
        return named[-1] if len({word.label for word in named}) == 1 else None

    def _lead(self) -> tuple[Word | None, bool]:
        """The leading word, and whether the answer leads with both ("yes and no")."""
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

    def _contradicted(self, lead: Word) -> bool:
        """Whether the opposite follows at once, corrects the answer, or is named as the answer later."""
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
            if word.label == lead.label or self._denied(word):
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
            if self._is_line(word) and self._loud(word) and not self._asked(word):
                return True
        return False

    def _kind(self, word: Word) -> int | None:
        """How the text names a word as its answer, 0 the strongest; None where it does not."""
        before = self.text[max(0, word.start - WINDOW) : word.start]
        if self._denied(word):
            return None
        if patterns.FINAL.search(before):
            return 0
        if patterns.LABEL.search(before):
            return 1
        if self._against(word, before):
            return None
        last = patterns.END.match(self.text, word.end) is not None
        sentence = re.search(r"[.!][\"'*)\]]*\s+[\"'*`(\[]*\Z", before)
        if (
            patterns.STATED.search(before)
            or (self._is_line(word) and (last or not self._asked(word)))
            or (patterns.LINE_END.match(self.text, word.end) and patterns.COLON.search(before))
            or (last and patterns.COMMA.search(before) and not patterns.QUESTION.search(before))
            or (sentence and (last or self._loud(word)) and not patterns.NUMBERED.search(before))
        ):
            return 2
        return 3 if self._loud(word) and not self._asked(word) else None

    def _stands(self, word: Word) -> bool:
        """Whether a word is said by itself: not "no" before a noun or a number."""
        said = self.text[word.start : word.end]
        followed = patterns.FOLLOWED.match(self.text, word.end)
        assert followed is not None
        if not said.isascii():
            return followed["word"] is None
        if word.label == "allowed":
            return True
        before = self.text[max(0, word.start - 40) : word.start]
        if patterns.NUMBER.match(self.text, word.end) or patterns.NUMBERED.search(before):
            return False
        next_word = followed["word"]
        if next_word is None:
            return True
        if followed["hyphen"] is None and patterns.CLAUSE_WORD.fullmatch(next_word):
            return True
        capital = next_word[0].isupper()
        loud = said == "NO" and not (next_word.isupper() and len(next_word) > 1)
        return (loud and (capital or bool(followed["closers"]))) or (capital and followed["colon"] is not None)

    def _denied(self, word: Word) -> bool:
        """Whether the words around it deny, doubt or only mention it."""
        before = self.text[max(0, word.start - WINDOW) : word.start]
        return bool(patterns.NO_ANSWER_AFTER.search(before) or patterns.NO_ANSWER_BEFORE.match(self.text, word.end))

    def _disowned(self, word: Word) -> bool:
        """Whether the sentence that a word begins is about it, or is a courtesy or a refusal."""
        if patterns.DISOWNED.match(self.text, word.end):
            return True
        return bool((patterns.POLITE if word.label == "allowed" else patterns.REFUSAL).match(self.text, word.end))

    def _cases(self, words: Sequence[Word]) -> set[int]:
        """Words that are two cases of one line: "YES if allowed, NO otherwise"."""
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

    def _open(self, word: Word) -> bool:
        """Whether a "no" stands at the end of a text that was cut off, so that a noun may have followed."""
        return self.cut and word.label == "dismissed" and not self._loud(word) and not self.text[word.end :].strip()

    def _asked(self, word: Word) -> bool:
        """Whether it answers a question that the text itself put just before."""
        return self.text[: word.start].rstrip(" \n\t*\"'`#>-").endswith("?")

    def _loud(self, word: Word) -> bool:
        """Whether it is set off by capitals in a text that has small letters, or by markup."""
        said = self.text[word.start : word.end]
        marked = self.text[max(0, word.start - 1) : word.start] == "*" == self.text[word.end : word.end + 1]
        after = patterns.FOLLOWED.match(self.text, word.end)
        if word.label == "dismissed" and marked and said != "NO" and after is not None and after["word"]:
            return False
        return marked or (said.isupper() and self.has_small)

    def _is_line(self, word: Word) -> bool:
        start = self.text.rfind("\n", 0, word.start) + 1
        alone = re.fullmatch(
            rf"[^{patterns.L}]*(?:{patterns.OPTION})?[^{patterns.L}]*", self.text[start : word.start], re.IGNORECASE
        )
        return alone is not None and re.compile(rf"[^{patterns.L}\n]*(?:\n|\Z)").match(self.text, word.end) is not None

    def _against(self, word: Word, before: str) -> bool:
        """Whether a label before says that the case was lost, so that the word may be about that."""
        lost = patterns.AGAINST.search(before)
        if lost is None:
            return False
        clause = re.split(r"[.;\n]", before[: lost.end()])[-1]
        return word.label == "allowed" or re.search(r"\b(?:is|be|was|must|should|fails?)\b", clause) is None

    def _is_pair(self, pair: re.Match[str]) -> bool:
        """Whether YES and NO stand side by side as the two answers."""
        if (pair["a"].lower() in patterns.YES.split("|")) == (pair["b"].lower() in patterns.YES.split("|")):
            return False
        if pair["and"] is None:
            return True
        first, second = (Word(label="dismissed", start=pair.start(side), end=pair.end(side)) for side in "ab")
        return self._stands(second) if pair["b"].lower() == "no" else self._stands(first)

    def _unticked(self) -> set[int]:
        """Words beside an empty box, where another box is ticked."""
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
