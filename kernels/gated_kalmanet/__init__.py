"""Gated KalmaNet: a sequence layer that solves a ridge regression over all the past at each token (arXiv 2511.21016).

One operator in three forms with one signature, `gated_kalmanet`: in `naive` (the definition), in `chunk` (PyTorch, any
device) and in `triton` (GPU). `GatedKalmaNet` is the module around it. The package stands on its own; README.md has the
mathematics.
"""

from gated_kalmanet.config import GatedKalmaNetConfig
from gated_kalmanet.layer import GatedKalmaNet
from gated_kalmanet.state import LayerCache, State

__all__ = ["GatedKalmaNet", "GatedKalmaNetConfig", "LayerCache", "State"]
