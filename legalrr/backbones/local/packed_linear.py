"""Linear layers with weights in the order that oneDNN reads them in, for a CPU.

A weight that is reordered once, rather than at every product, makes decoding faster, whose products have a row per
answer, and prefill somewhat faster (benchmarks/linear.py). Sums are taken in another order, so results differ by
rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from legalrr.errors import UserError

ROWS = 10
"""Number of rows for which oneDNN chooses the order of a weight; products with other numbers use the same order."""


class PackedLinear(nn.Module):
    """The linear layer `x W^T + b` with a reordered weight; it cannot be trained.

    Args:
        linear: the layer, float32 or bfloat16 on a CPU.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features = linear.in_features
        self.out_features = linear.out_features
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach(), requires_grad=False)
        # Neither a parameter nor a buffer: the layout of oneDNN cannot be saved or moved.
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), ROWS)

    def forward(self, input: Tensor) -> Tensor:
        """Return shape (..., out_features) for an input of shape (..., in_features)."""
        return torch.ops.mkldnn._linear_pointwise(input, self._packed, self.bias, "none", [], "")


def pack_linear_layers(model: nn.Module, *, option: str) -> None:
    """Replace the linear layers of a model by packed ones; the memory of their weights is released.

    Args:
        model: the model, on a CPU.
        option: config path of the backbone, for messages.

    Raises:
        UserError: this build of torch has no oneDNN.
    """
    if not torch.backends.mkldnn.is_available():
        raise UserError("this build of torch has no oneDNN", where=f"{option}.linear", cure="use plain")
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, PackedLinear(child))
