"""The operator by Triton kernels: over whole sequences with its gradient, and for a few new tokens per sequence.

`tile` and `solve` are what the kernels share; `prefill`, `backward` and `gather` the kernels over whole sequences,
which `operator` launches; `decode` the one for new tokens. `launch` holds the choices of sizes. With TRITON_INTERPRET=1
set before triton is imported they run on a CPU, slowly, for tests.
"""

from gated_kalmanet.triton.decode import decode
from gated_kalmanet.triton.operator import triton_gated_kalmanet

__all__ = ["decode", "triton_gated_kalmanet"]
