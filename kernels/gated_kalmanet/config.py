"""Configuration of a Gated KalmaNet layer: sizes, switches and options of the solver."""

from __future__ import annotations

from dataclasses import dataclass

BACKENDS = ("naive", "chunk", "triton")
"""Implementations of the operator."""


@dataclass(frozen=True, kw_only=True)
class GatedKalmaNetConfig:
    """Configuration with the names and defaults of `gka_config` in the released checkpoints, and `backend`.

    Raises:
        ValueError: a field is invalid, or two fields contradict each other.
    """

    hidden_size: int
    """Width of the residual stream."""
    head_dim: int
    """Dimension D of queries, keys and values."""
    num_q_heads: int
    """Number of query heads, Hq."""
    num_k_heads: int
    """Number of key heads, Hk; one of Hq and Hk is a multiple of the other."""
    num_v_heads: int
    """Number of value heads; equal to `num_k_heads`."""
    use_alpha_connection: bool = True
    """Blend the solution x with the query by a learned gate alpha; otherwise alpha is 1."""
    use_v_conv: bool = True
    """Convolve the values as well as queries and keys."""
    use_forgetting_gate: bool = True
    """Decay the states by a learned gate; otherwise they do not decay."""
    use_forgetting_gate_kk: bool = True
    """Decay H as well as U."""
    use_beta_gate: bool = True
    """Weight tokens by a learned gate beta; otherwise beta is 1."""
    use_gate: bool = True
    """Multiply the normalised output by a learned gate."""
    gla_rescale: bool = True
    """Scale the output by head_dim ** -0.5."""
    solver_type: str = "chebyshev"
    """Solver: "chebyshev", or "cg" (conjugate gradients; half the iterations, not in the released code)."""
    bp_lambda: bool = True
    """Propagate gradients through lambda."""
    num_iter: int = 30
    """Iterations of the solver; 0 gives gated linear attention."""
    ridge_strength: float = 0.02
    """Ridge strength a of lambda = a ||H||_F."""
    conv_size: int = 4
    """Kernel size of the short convolutions."""
    norm_eps: float = 1e-6
    """Epsilon of the RMS norm of the output."""
    chunk_size: int = 64
    """Tokens per chunk."""
    kv_proj_rank: int | None = None
    """Rank of a learned expansion of k and v to all heads; None: the heads of a group share k and v."""
    kv_learnable_residual: bool = False
    """Learn the matrix that repeats k and v, to which the low-rank expansion is added."""
    backend: str = "chunk"
    """Implementation of the operator: "naive", "chunk" or "triton" (a CUDA device, or TRITON_INTERPRET=1)."""

    def __post_init__(self) -> None:
        for name in ("hidden_size", "head_dim", "num_q_heads", "num_k_heads", "num_v_heads", "conv_size", "chunk_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.num_k_heads != self.num_v_heads:
            raise ValueError(f"num_v_heads must equal num_k_heads, {self.num_k_heads}, not {self.num_v_heads}")
        if self.num_heads % self.num_q_heads or self.num_heads % self.num_k_heads:
            raise ValueError(
                f"num_q_heads {self.num_q_heads} and num_k_heads {self.num_k_heads}: "
                "one must be a multiple of the other"
            )
        if self.num_iter < 0:
            raise ValueError(f"num_iter must be at least 0, not {self.num_iter}")
        if not self.ridge_strength > 0:
            raise ValueError(f"ridge_strength must be above 0, not {self.ridge_strength}")
        if self.solver_type not in ("chebyshev", "cg"):
            raise ValueError(f"solver_type must be chebyshev or cg, not {self.solver_type!r}")
        if self.backend not in BACKENDS:
            raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, not {self.backend!r}")
        if self.kv_proj_rank is not None and self.kv_proj_rank < 1:
            raise ValueError(f"kv_proj_rank must be at least 1, or None, not {self.kv_proj_rank}")
        if self.kv_learnable_residual and self.kv_proj_rank is None:
            raise ValueError("kv_learnable_residual needs kv_proj_rank")

    @property
    def num_heads(self) -> int:
        """Number H of expanded heads, each with its own gates, states and output."""
        return max(self.num_q_heads, self.num_k_heads)

    @property
    def expands(self) -> bool:
        """Whether a low-rank map expands k and v to all heads."""
        return self.kv_proj_rank is not None and self.num_heads > self.num_k_heads

    @property
    def number_of_states(self) -> int:
        """Number of convolution states in the cache: q, k and, with `use_v_conv`, v."""
        return 3 if self.use_v_conv else 2
