"""Packed windows: every token once, in order, and no document sees another."""

from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from legalrr.backbones.local.gka_options import GkaOptions
from legalrr.backbones.local.gka_surgery import swap
from legalrr.backbones.local.measurements import hidden_states
from legalrr.hybrids.context import PrimingContext
from legalrr.hybrids.objective import batches, pack_windows, repeat_shuffled, stack_windows

from .conftest import judgments


@given(documents=st.lists(st.lists(st.integers(0, 9), max_size=30), max_size=12), length=st.integers(1, 17))
def test_windows_have_all_tokens_in_order_and_positions_restart_per_document(
    documents: list[list[int]], length: int
) -> None:
    found = list(pack_windows(iter(documents), length))
    flat = [token for document in documents for token in document]
    assert [token for ids, _ in found for token in ids] == flat[: len(flat) // length * length]
    starts = {sum(map(len, documents[:i])) for i in range(len(documents))}
    for number, (ids, positions) in enumerate(found):
        assert len(ids) == len(positions) == length
        for place, position in enumerate(positions):
            begins = place == 0 or number * length + place in starts
            assert position == (0 if begins else positions[place - 1] + 1)


def test_each_epoch_has_every_judgment_once_in_its_own_order() -> None:
    some = judgments(5, words=4)
    stream = repeat_shuffled(some, lambda text: [some.index(next(j for j in some if j.text == text))], seed=1)
    epochs = [[next(stream)[0] for _ in some] for _ in range(3)]
    assert all(sorted(epoch) == list(range(5)) for epoch in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("after", [0, 1, 7])
def test_a_resumed_stream_continues_with_the_same_batches(after: int) -> None:
    some = judgments(6)

    def stream(after: int):
        return batches(some, lambda text: list(text.encode()), length=50, size=3, seed=4, after=after)

    whole, later = list(islice(stream(0), after + 2)), list(islice(stream(after), 2))
    for one, other in zip(whole[after:], later, strict=True):
        assert torch.equal(one.ids, other.ids)
        assert torch.equal(one.positions, other.positions)
        assert one.ids.shape == (3, 50)


def test_packed_documents_give_the_states_of_single_ones_in_both_layer_kinds(context: PrimingContext) -> None:
    model = context.teacher
    swap(model, [1], GkaOptions(num_iter=5, chunk_size=16))
    documents = [torch.randint(250, (n,)).tolist() for n in (9, 20, 1, 18)]
    packed = stack_windows([next(pack_windows(iter(documents), 48))])
    with torch.no_grad():
        whole = hidden_states(model, packed.ids, packed.positions)[0]
        alone = [hidden_states(model, torch.tensor([ids]), torch.arange(len(ids))[None])[0] for ids in documents]
    torch.testing.assert_close(whole, torch.cat(alone), rtol=1e-4, atol=1e-4)
