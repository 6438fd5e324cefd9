"""Gated KalmaNet: a sequence layer that solves a ridge regression over the past at each token (arXiv 2511.21016).

The operator has three implementations with one signature: `naive.naive_gated_kalmanet` (the reference),
`chunk.chunk_gated_kalmanet` (PyTorch, any device) and `triton.triton_gated_kalmanet` (GPU). `GatedKalmaNet` is the
module that uses it. The package has no dependency on legalrr. README.md gives the mathematics.
"""

from gated_kalmanet.config import GatedKalmaNetConfig
from gated_kalmanet.layer import GatedKalmaNet
from gated_kalmanet.state import LayerCache, State

__all__ = ["GatedKalmaNet", "GatedKalmaNetConfig", "LayerCache", "State"]
