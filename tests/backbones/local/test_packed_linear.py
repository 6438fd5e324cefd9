import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.backbones.local.packed_linear import PackedLinear, pack_linear_layers
from legalrr.errors import UserError


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 40), st.booleans())
def test_a_packed_layer_is_as_exact_as_a_plain_one(inputs, outputs, rows, bias):
    torch.manual_seed(inputs)
    plain = nn.Linear(inputs, outputs, bias=bias)
    given = torch.randn(2, rows, inputs)
    with torch.inference_mode():
        found, alike = PackedLinear(plain)(given), plain(given)
        exact, given = plain.double()(given.double()), given.double()
        # Any order of a sum of n terms errs by at most n epsilon times the sum of their magnitudes (Higham, Accuracy
        # and Stability of Numerical Algorithms, section 3.1); the terms are the products and the bias.
        magnitudes = given.abs() @ plain.weight.abs().T + (plain.bias.abs() if bias else 0.0)
        allowed = (inputs + 1) * torch.finfo(torch.float32).eps * magnitudes
    assert found.shape == alike.shape
    assert ((found - exact).abs() <= allowed).all()


def test_bfloat16_is_rounded_to_bfloat16():
    plain = nn.Linear(64, 32).bfloat16()
    given = torch.randn(3, 64).bfloat16()
    with torch.inference_mode():
        found, exact = PackedLinear(plain)(given), plain.double()(given.double())
    assert found.dtype == torch.bfloat16
    assert (found - exact).abs().max() <= 2 * torch.finfo(torch.bfloat16).eps * exact.abs().max()


def test_all_linear_layers_are_replaced_and_others_are_not():
    class Special(nn.Linear):
        pass

    model = nn.Sequential(nn.Linear(4, 4), nn.ModuleDict({"a": nn.Linear(4, 2), "b": Special(4, 4)}), nn.LayerNorm(4))
    pack_linear_layers(model, option="backbone")
    kinds = [type(module).__name__ for module in model.modules()]
    assert kinds == ["Sequential", "PackedLinear", "ModuleDict", "PackedLinear", "Special", "LayerNorm"]


def test_without_onednn_it_is_refused(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"^backbone\.linear: .*\(use plain\)"):
        pack_linear_layers(nn.Linear(2, 2), option="backbone")


@pytest.mark.parametrize("fields", [{"linear": "packed"}, {"memory_gb": 3.0}])
@pytest.mark.parametrize("other", [{"device": "cuda"}, {"quantization": "bitsandbytes-int8"}])
def test_options_for_a_cpu_are_refused_elsewhere(fields, other):
    (name,) = fields
    with pytest.raises(UserError, match=rf"^backbone\.{name}: {name} is for models without quantization on a CPU"):
        TransformersBackbone(name="m", model="m", **fields, **other)
