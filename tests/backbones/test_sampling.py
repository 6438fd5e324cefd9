import math

import pytest
import torch

from legalrr.backbones.sampling import CardSampling, Generated, Sampler, call_seed
from legalrr.errors import UserError

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, -3.0])
ROWS = 4000


def drawer(seed):
    return torch.Generator().manual_seed(seed)


def draws(card, written=(), rows=ROWS):
    """Share of each token in the first samples of many rows."""
    # Half of the tokens were generated in an earlier call of `generate`.
    before, now = list(written[: len(written) // 2]), written[len(written) // 2 :]
    ids = torch.tensor([[0, *now]]).expand(rows, -1)
    sampler = Sampler(
        card, [drawer(call_seed(0, str(row))) for row in range(rows)], Generated(before=[before] * rows, width=1)
    )
    drawn = sampler(ids, LOGITS.expand(rows, -1).clone()).argmax(-1)
    return torch.bincount(drawn, minlength=len(LOGITS)) / rows


def check(shares, probabilities):
    """Five standard deviations of a share of so many samples."""
    for share, p in zip(shares.tolist(), probabilities.tolist(), strict=True):
        assert abs(share - p) <= 5 * math.sqrt(p * (1 - p) / ROWS)


def test_tokens_are_sampled_with_their_probability():
    check(draws(CardSampling(temperature=1.0)), LOGITS.softmax(0))
    check(draws(CardSampling(temperature=2.0)), (LOGITS / 2).softmax(0))


def test_only_the_most_probable_tokens_are_sampled():
    kept = torch.tensor([0.0, 0.0, -torch.inf, -torch.inf, -torch.inf])
    check(draws(CardSampling(temperature=1.0, top_k=2)), (LOGITS + kept).softmax(0))
    # The first has 0.64, the second 0.24.
    check(draws(CardSampling(temperature=1.0, top_p=0.8)), (LOGITS + kept).softmax(0))


def test_the_penalty_applies_once_per_answer_token_and_not_to_the_prompt():
    card = CardSampling(temperature=1.0, presence_penalty=1.5)
    check(draws(card, written=[1, 1]), (LOGITS - 1.5 * torch.tensor([0, 1, 0, 0, 0])).softmax(0))
    check(draws(card), LOGITS.softmax(0))


def test_a_row_samples_the_same_in_any_batch():
    scores = torch.randn(3, 50, generator=torch.Generator().manual_seed(1))
    ids = torch.zeros(3, 1, dtype=torch.long)
    together, alone = (
        Sampler(CardSampling(temperature=1.0), list(map(drawer, seeds)), Generated(before=[[]] * len(seeds), width=1))
        for seeds in ([5, 6, 7], [6])
    )
    for _ in range(3):
        assert torch.equal(together(ids, scores)[1:2], alone(ids[:1], scores[1:2]))


def test_seeds_differ_by_seed_and_key():
    seeds = {call_seed(seed, key) for seed in (0, 1) for key in ("a", "b")}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("change", [{"temperature": 0.0}, {"top_p": 0.0}, {"top_p": 1.1}, {"top_k": -1}])
def test_values_out_of_range_are_refused_by_name(change):
    ((name, value),) = change.items()
    with pytest.raises(UserError, match=rf"^backbone\.card\.{name}: {name} is {value}"):
        CardSampling(**({"temperature": 1.0} | change)).check("backbone.card")
