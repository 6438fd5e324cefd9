"""The CRF layer against enumeration, and invariance to padding."""

from itertools import pairwise, product

import pytest
import torch

from legalrr.segment.mlp import Chain, NetworkShape, TaggerNetwork

LENGTHS = (1, 2, 4)
ROLES = 3


@pytest.fixture
def chain() -> Chain:
    torch.manual_seed(3)
    made = Chain(ROLES).double()
    for weight in made.parameters():
        torch.nn.init.normal_(weight)
    return made


@pytest.fixture
def emissions() -> torch.Tensor:
    return torch.randn(
        len(LENGTHS), max(LENGTHS), ROLES, dtype=torch.float64, generator=torch.Generator().manual_seed(5)
    )


@pytest.fixture
def mask() -> torch.Tensor:
    return torch.tensor([[t < length for t in range(max(LENGTHS))] for length in LENGTHS])


def scores(chain: Chain, emissions: torch.Tensor) -> dict[tuple[int, ...], float]:
    """Compute the score of every role sequence of one judgment by enumeration."""
    found = {}
    for roles in product(range(ROLES), repeat=len(emissions)):
        score = chain.first[roles[0]] + chain.last[roles[-1]]
        score = score + sum(emissions[t, role] for t, role in enumerate(roles))
        score = score + sum(chain.transitions[a, b] for a, b in pairwise(roles))
        found[roles] = float(score.detach())
    return found


def test_the_partition_is_the_sum_over_all_sequences(chain, emissions, mask):
    found = chain.log_partition(emissions, mask)
    for row, length in enumerate(LENGTHS):
        every = torch.tensor(list(scores(chain, emissions[row, :length]).values()), dtype=torch.float64)
        assert float(found[row].detach()) == pytest.approx(float(torch.logsumexp(every, 0)), rel=1e-12)


def test_the_score_of_a_sequence_is_the_sum_of_its_parts(chain, emissions, mask):
    for row, length in enumerate(LENGTHS):
        for roles, score in scores(chain, emissions[row, :length]).items():
            padded = torch.full((1, max(LENGTHS)), -1)
            padded[0, :length] = torch.tensor(roles)
            found = chain.score(emissions[row : row + 1], padded, mask[row : row + 1])
            assert float(found.detach()) == pytest.approx(score, rel=1e-12)


def test_marginals_equal_those_of_the_enumeration(chain, emissions, mask):
    found = chain.marginals(emissions, mask)
    for row, length in enumerate(LENGTHS):
        every = scores(chain, emissions[row, :length])
        probabilities = torch.softmax(torch.tensor(list(every.values()), dtype=torch.float64), 0)
        expected = torch.zeros(max(LENGTHS), ROLES, dtype=torch.float64)
        for roles, probability in zip(every, probabilities, strict=True):
            for t, role in enumerate(roles):
                expected[t, role] += probability
        assert torch.allclose(found[row], expected, atol=1e-12)


def test_padding_changes_nothing():
    torch.manual_seed(0)
    network = TaggerNetwork(NetworkShape(states=8, hints=5, roles=ROLES, narrow=6, hidden=4)).double().eval()
    states, extra = torch.randn(1, 4, 8).double(), torch.randn(1, 4, 5).double()
    short = torch.ones(1, 2, dtype=torch.bool)
    padded = torch.tensor([[True, True, False, False]])
    alone = network(states[:, :2], extra[:, :2], short)
    beside = network(states, extra, padded)
    assert torch.allclose(alone, beside[:, :2], atol=1e-12)
    roles = torch.tensor([[1, 2, 0, 0]])
    assert torch.allclose(
        network.loss(states[:, :2], extra[:, :2], short, roles[:, :2]), network.loss(states, extra, padded, roles)
    )
