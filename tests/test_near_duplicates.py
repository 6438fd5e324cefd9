"""Texts that share shingles are grouped, also with a sample of the shingles."""

import random

from legalrr.near_duplicates import NEAR_DUPLICATE, SHINGLE_WORDS, group_related, near_duplicates
from legalrr.records import Judgment


def text(seed: int, words: int) -> list[str]:
    draw = random.Random(seed)
    return [draw.choice("abcdefghijklmnopqrstuvwxyz") * draw.randint(1, 3) for _ in range(words)]


def test_texts_that_share_enough_shingles_are_one_group():
    first, second, third = (text(seed, 400) for seed in range(3))
    share = int((NEAR_DUPLICATE + 0.05) * 400) + SHINGLE_WORDS
    mixed = first[:share] + third[share:]
    little = first[: int(0.5 * NEAR_DUPLICATE * 400)] + second
    found = near_duplicates([" ".join(words) for words in (first, second, mixed, little[:400])])
    assert found[0] == found[2]
    assert len({found[0], found[1]}) == 2
    assert found[3] == found[1]


def test_groups_are_transitive():
    a, b = text(1, 300), text(2, 300)
    assert len(set(near_duplicates([" ".join(a), " ".join(b)]))) == 2
    assert len(set(near_duplicates([" ".join(a), " ".join(b), " ".join(a + b)]))) == 1


def test_case_and_whitespace_do_not_matter_and_short_texts_are_alone():
    words = text(3, 100)
    assert near_duplicates([" ".join(words), "\n".join(words).upper()]) == [0, 0]
    assert near_duplicates(["one two", "one two", ""]) == [0, 1, 2]


def test_a_sample_of_the_shingles_finds_the_same_groups():
    texts = [text(seed, 600) for seed in range(6)]
    texts += [texts[2][:300] + text(9, 300), texts[4][200:]]
    joined = [" ".join(words) for words in texts]
    assert near_duplicates(joined, sampled=8) == near_duplicates(joined) == [0, 1, 2, 3, 4, 5, 2, 4]


def test_shingles_in_files_give_the_same_groups() -> None:
    texts = [text(seed, 60) for seed in range(12)]
    texts += [[*texts[at], *text(20 + at, at * 80)] for at in range(12)]
    joined = [" ".join(words) for words in texts]
    found = near_duplicates(iter(joined), in_memory=200)
    assert found == near_duplicates(joined) == [*range(12), *range(12)]


def test_a_group_of_the_corpus_joins_groups_of_near_duplicates() -> None:
    a, b, c = (" ".join(text(seed, 50)) for seed in range(3))
    groups = [(b, "y"), (a, None), (a, "x"), (c, "y"), (c, "x"), ("other", None)]
    judgments = [Judgment(id=str(at), text=words, group=group) for at, (words, group) in enumerate(groups)]
    assert group_related(iter(judgments)) == [0, 0, 0, 0, 0, 5]
