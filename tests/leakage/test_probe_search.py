"""The search for the sentence whose removal costs the answer most."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from legalrr.leakage.probe import search
from legalrr.records import Block, Document


def document(count, per_block=7):
    texts = [f"Sentence number {n} is of no use." for n in range(count)]
    blocks, at = [], 0
    for first in range(0, count, per_block):
        text = " ".join(texts[first : first + per_block])
        blocks.append(Block(role="FAC", start=at, text=text))
        at += len(text) + 2
    return Document(id="a", scheme="build", headings=False, blocks=tuple(blocks))


def run_search(shown, odds, calls):
    """Return the result of the search with `odds` as backbone, and the number of documents it requested."""
    running, requested, answers = search(shown, calls=calls), 0, None
    while True:
        try:
            wanted = next(running) if answers is None else running.send(answers)
        except StopIteration as end:
            return end.value, requested
        requested += len(wanted)
        answers = [odds(" ".join(block.text for block in one.blocks)) for one in wanted]


@settings(max_examples=60)
@given(st.data(), st.integers(1, 150), st.integers(1, 60))
def test_one_revealing_sentence_is_found_within_the_calls(data, count, calls):
    place = data.draw(st.integers(0, count - 1))
    planted = f"Sentence number {place} is of no use."
    shown = document(count)
    found, requested = run_search(shown, lambda text: 3.0 if planted in text else -2.0, calls)
    assert found.text == planted
    assert (found.alone, found.without) == (3.0, -2.0)
    assert requested <= max(calls, 2 * math.ceil(math.log2(count)) + 2)
    (block,) = (b for b in shown.blocks if planted in b.text)
    assert (found.start, found.end) == (block.start + block.text.index(planted), found.start + len(planted))


def test_the_most_influential_of_many_sentences_is_found():
    shown = document(20)

    def odds(text):
        return sum(3.0 if n == 13 else 0.1 for n in range(20) if f"number {n} is" in text)

    assert run_search(shown, odds, 40)[0].text == "Sentence number 13 is of no use."
    assert run_search(shown, odds, 5)[0].text == "Sentence number 13 is of no use."


def test_two_sentences_that_reveal_the_same_mask_each_other():
    found, _ = run_search(document(9), lambda text: 3.0 if "number 2" in text or "number 6" in text else -2.0, 40)
    assert found.without == 3.0


def test_equal_odds_select_the_last_sentence():
    assert run_search(document(5), lambda text: math.inf, 40)[0].text == "Sentence number 4 is of no use."
