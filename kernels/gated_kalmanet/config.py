"""What a Gated KalmaNet layer is made of: sizes, switches and the solver's numbers."""

from __future__ import annotations

from dataclasses import dataclass

BACKENDS = ("naive", "chunk", "triton")
"""The forms of the operator."""


@dataclass(frozen=True, kw_only=True)
class GatedKalmaNetConfig:
    """The fields of a released checkpoint's `gka_config` under their names, with its defaults, and `backend`.

    Raises:
        ValueError: a field is impossible, or two of them together.
    """

    hidden_size: int
    """Width of the residual stream."""
    head_dim: int
    """D, of queries, keys and values alike."""
    num_q_heads: int
    """Hq."""
    num_k_heads: int
    """Hk; Hq and Hk divide one another."""
    num_v_heads: int
    """Equal to `num_k_heads`."""
    use_alpha_connection: bool = True
    """Blend x with the query by a learned gate; without it alpha is 1."""
    use_v_conv: bool = True
    """Convolve the values too."""
    use_forgetting_gate: bool = True
    """Let the states decay; without it nothing is forgotten."""
    use_forgetting_gate_kk: bool = True
    """Let H decay as U does."""
    use_beta_gate: bool = True
    """Weigh tokens by a learned gate; without it beta is 1."""
    use_gate: bool = True
    """Gate the output; without it, it is only normalised."""
    gla_rescale: bool = True
    """Scale the output by head_dim ** -0.5."""
    solver_type: str = "chebyshev"
    """Or "cg" (conjugate gradients), which needs about half the steps; not a choice of the released code."""
    bp_lambda: bool = True
    """Let the gradient flow through lambda."""
    num_iter: int = 30
    """Steps of the solver; 0: the layer is gated linear attention."""
    ridge_strength: float = 0.02
    """a of lambda = a ||H||_F."""
    conv_size: int = 4
    """Width of the short convolutions."""
    norm_eps: float = 1e-6
    """Of the output's RMS norm."""
    chunk_size: int = 64
    """Tokens computed together."""
    kv_proj_rank: int | None = None
    """Rank of a learned expansion of k and v to all heads; None: they are shared by the heads of a group."""
    kv_learnable_residual: bool = False
    """Let that expansion learn what it adds to."""
    backend: str = "chunk"
    """Form of the operator: "naive", "chunk" or "triton" (a CUDA device, or TRITON_INTERPRET=1)."""

    def __post_init__(self) -> None:
        for name in ("hidden_size", "head_dim", "num_q_heads", "num_k_heads", "num_v_heads", "conv_size", "chunk_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.num_k_heads != self.num_v_heads:
            raise ValueError(f"num_v_heads must equal num_k_heads, {self.num_k_heads}, not {self.num_v_heads}")
        if self.num_heads % self.num_q_heads or self.num_heads % self.num_k_heads:
            raise ValueError(
                f"num_q_heads {self.num_q_heads} and num_k_heads {self.num_k_heads}: one must divide the other"
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
            raise ValueError("kv_learnable_residual needs kv_proj_rank: there is nothing to add to")

    @property
    def num_heads(self) -> int:
        """H, the expanded heads: each has its gates, its states and its output."""
        return max(self.num_q_heads, self.num_k_heads)

    @property
    def expands(self) -> bool:
        """Whether a learned map expands k and v to all heads."""
        return self.kv_proj_rank is not None and self.num_heads > self.num_k_heads

    @property
    def number_of_states(self) -> int:
        """Convolution states that a cache must hold: of q, of k and, where it is convolved, of v."""
        return 3 if self.use_v_conv else 2
