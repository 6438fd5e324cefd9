"""Triton implementation of the operator: prefill of whole sequences with gradients, and decode of a few new tokens.

`operator` launches the kernels over whole sequences, which are in `prefill`, `backward` and `gather`; `decode` has the
kernel for new tokens. `tile` and `solve` hold the functions that the kernels share, `launch` the launch parameters. If
TRITON_INTERPRET=1 is set before triton is imported, the kernels run in the interpreter on a CPU, slowly, for tests.
"""

from gated_kalmanet.triton.decode import decode
from gated_kalmanet.triton.operator import triton_gated_kalmanet

__all__ = ["decode", "triton_gated_kalmanet"]
