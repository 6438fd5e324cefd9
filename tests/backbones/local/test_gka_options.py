"""Selection of layers, and invalid options."""

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gated_kalmanet import GatedKalmaNetConfig
from gated_kalmanet.config import BACKENDS
from legalrr.backbones.local.gka_options import GkaOptions, chosen_layers
from legalrr.errors import UserError


@pytest.fixture
def order(tmp_path):
    """Function (content) that writes an importance file."""

    def write(content):
        file = tmp_path / "importance.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(file)

    return write


@pytest.mark.parametrize(
    ("spec", "count", "layers"),
    [
        ([3, 1], 4, (1, 3)),
        ((0,), 4, (0,)),
        ("every:2", 4, (1, 3)),
        (["every:2"], 5, (1, 3)),
        ("every:4", 30, (3, 7, 11, 15, 19, 23, 27)),
        ("every:4", 4, (3,)),
    ],
)
def test_layers_are_given_by_index_or_every_n(spec, count, layers):
    assert chosen_layers(spec, count) == layers


@given(st.permutations(range(6)), st.integers(1, 6))
def test_by_importance_takes_the_least_important_layers(tmp_path_factory, permutation, number):
    file = tmp_path_factory.mktemp("order") / "order.json"
    file.write_text(json.dumps({"order": permutation, "loss": 1.5}))
    assert chosen_layers(f"by_importance:{number}", 6, file) == tuple(sorted(permutation[:number]))


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("every", r"gka\.layers: no such choice of layers: 'every'"),
        ("every:0", r"gka\.layers: no such choice"),
        ("most:3", r"gka\.layers: no such choice"),
        ("every:5", r"gka\.layers: every:5 of 4 layers \(give at most 4\)"),
        ([4], r"gka\.layers: no layer 4 among 4 \(give indices from 0 to 3\)"),
        ([-1, 2], r"gka\.layers: no layer -1"),
        ([True, 2], r"gka\.layers: no layer True"),
        (["every:2", 1], r"gka\.layers: no layer 'every:2'"),
        ([1, 1], r"gka\.layers: a layer is named twice"),
        ([], r"gka\.layers: no layer is named"),
        ("by_importance:2", r"gka\.importance: by_importance needs a measured layer order .*legalrr prime --select"),
    ],
)
def test_an_invalid_selection_is_refused(spec, complaint):
    with pytest.raises(UserError, match=complaint):
        chosen_layers(spec, 4)


@pytest.mark.parametrize("content", ["{", "[]", {}, {"order": 3}, {"order": ["0", "1"]}, {"order": [0.5]}])
def test_a_file_without_an_order_is_refused(order, content):
    with pytest.raises(UserError, match=r"mine\.importance: cannot read .*importance\.json"):
        chosen_layers("by_importance:2", 4, order(content), option="mine")


@pytest.mark.parametrize("layers", [[0, 1, 2], [0, 1, 2, 4], [0, 1, 2, 2], [3, 2, 1, 0, 0]])
def test_an_order_of_another_model_is_refused(order, layers):
    with pytest.raises(UserError, match=r"gka\.importance: .* does not order the 4 layers of this model"):
        chosen_layers("by_importance:2", 4, order({"order": layers}))


def test_a_missing_file_is_refused():
    with pytest.raises(UserError, match=r"importance: cannot read nowhere\.json"):
        chosen_layers("by_importance:2", 4, "nowhere.json")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"backend": "fast"}, r"gka\.backend: unknown backend 'fast' \(use chunk, triton, naive\)"),
        ({"solver_type": "lu"}, r"gka\.solver_type: unknown solver_type 'lu'"),
        ({"num_iter": -1}, r"gka\.num_iter: num_iter is -1 \(give at least 0\)"),
        ({"layers": 1.5}, r"gka\.layers: layers is 1\.5 \(give indices as in \[1,3,5\]"),
        ({"chunk_size": 0}, r"gka\.chunk_size: chunk_size is 0"),
        ({"ridge_strength": 0.0}, r"gka\.ridge_strength: ridge_strength is 0"),
    ],
)
def test_invalid_values_are_refused(fields, complaint):
    with pytest.raises(UserError, match=complaint):
        GkaOptions(**fields)


def test_options_allow_what_the_layers_allow():
    sizes = {"hidden_size": 8, "head_dim": 4, "num_q_heads": 2, "num_k_heads": 2, "num_v_heads": 2}
    limits = {field.name: field.metadata for field in fields(GkaOptions)}
    assert set(limits["backend"]["allowed"]) == set(BACKENDS)
    for name in ("backend", "solver_type"):
        for value in limits[name]["allowed"]:
            assert getattr(GatedKalmaNetConfig(**sizes, **{name: value}), name) == value
    for name in ("num_iter", "chunk_size"):
        least = limits[name]["least"]
        assert getattr(GatedKalmaNetConfig(**sizes, **{name: least}), name) == least
        with pytest.raises(ValueError, match=f"{name} must be at least {least}"):
            GatedKalmaNetConfig(**sizes, **{name: least - 1})


def test_only_given_options_override_the_saved_ones():
    assert GkaOptions().numbers == {}
    assert GkaOptions(num_iter=0, backend="triton").numbers == {"num_iter": 0}


def test_a_list_and_a_tuple_are_equal():
    assert GkaOptions(layers=3) == GkaOptions(layers=[3])
    assert GkaOptions(layers=None) == GkaOptions()
    assert GkaOptions(layers=[1, 2]) == GkaOptions(layers=(1, 2))
    assert hash(GkaOptions(layers=[1, 2])) == hash(GkaOptions(layers=(1, 2)))


def test_the_content_of_a_layer_order_is_provenance_and_its_path_is_not(order, tmp_path):
    def provenance_of(layers, file=None):
        return GkaOptions(layers=layers, importance=file).provenance("gka")

    one = provenance_of("by_importance:1", order({"order": [1, 0]}))
    (tmp_path / "elsewhere.json").write_text('{"order": [1, 0]}')
    assert provenance_of(["by_importance:1"], str(tmp_path / "elsewhere.json")) == one != {}
    assert provenance_of("by_importance:1", order({"order": [0, 1]})) != one
    assert provenance_of([0, 1]) == provenance_of("every:2") == provenance_of([]) == {}
