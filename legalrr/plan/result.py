"""The result of a plan: what each cell and each backbone needs."""

from dataclasses import asdict, dataclass
from typing import Any

from legalrr.plan.opened import Memory
from legalrr.plan.power import Power
from legalrr.plan.speed import Speed
from legalrr.plan.walk import CellUse


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why cells cannot be planned as they would run."""

    cells: tuple[int, ...]
    """Numbers of the cells."""
    message: str
    """The reason, with its cure."""
    planned: bool
    """Whether their calls are counted nevertheless."""


@dataclass(frozen=True, kw_only=True)
class CellPlan:
    """One cell."""

    number: int
    """Its number in the run."""
    arm: str
    """Label of its arm."""
    corpus: str
    """Name of its corpus."""
    backbone: str | None
    """Name of its backbone; None for a baseline, which makes no calls."""
    judgments: int
    """Judgments predicted."""
    use: CellUse
    """Its calls."""


@dataclass(frozen=True, kw_only=True)
class ClusterDuration:
    """Predicted course of a run by several workers."""

    workers: int
    """Number of workers with a model each."""
    expected: float
    """Seconds, as in `Duration`."""
    most: float
    """Seconds with every answer at its limit."""
    idle: float
    """Share of the workers' time with nothing to do, expected."""
    price: float | None
    """Money for an hour of a worker; None: not given."""
    machine: int = 1
    """Workers on each machine."""
    speed: Speed | None = None
    """Measured speed of one of them; None: given tokens per second."""

    @property
    def hours(self) -> float:
        """Hours of all workers together, expected."""
        return self.workers * self.expected / 3600


@dataclass(frozen=True, kw_only=True)
class Duration:
    """Predicted seconds of a run by one worker."""

    expected: float
    """With answers as long as stored or sampled ones."""
    most: float
    """With every answer at its limit."""
    speed: Speed | None
    """Measured speed; None: given tokens per second."""
    sampled: int
    """Answers whose lengths are known."""
    threads: int | None = None
    """Threads of torch that the speed was measured with; None: not measured, or not on a CPU."""
    cluster: ClusterDuration | None = None
    """The same by several workers; None: not asked for."""


@dataclass(frozen=True, kw_only=True)
class BackbonePlan:
    """What the cells with one backbone need. Calls that several cells share count once."""

    name: str
    """Name of the backbone."""
    exact: bool
    """Whether tokens are those of the model's tokenizer."""
    calls: int
    """Calls that are answered."""
    stored: int
    """Of these, in the store."""
    prompt_tokens: int
    """Tokens of their prompts, with unknown answers empty."""
    prompt_tokens_most: int
    """With unknown answers at their limits."""
    distinct_tokens: int
    """Distinct tokens of their prompts (nodes of the prefix tree), with unknown answers empty."""
    distinct_tokens_most: int
    """With unknown answers at their limits."""
    written_most: int
    """Most tokens written by the calls that are to be made."""
    too_long: int
    """Prompts that exceed the context: these conversations end there."""
    maybe_too_long: int
    """Prompts that would exceed it with the longest answers."""
    memory: Memory | None
    """Memory; None: not in this process."""
    duration: Duration | None
    """Seconds; None: not known."""
    cost_most: float | None
    """Most money for the calls that are to be made, without the server's cache; None: no prices."""
    cost_cached: float | None
    """The same if the server caches every common prefix."""

    @property
    def to_make(self) -> int:
        """Calls that are to be made."""
        return self.calls - self.stored


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan of an experiment."""

    cells: tuple[CellPlan, ...]
    """The cells that could be planned."""
    backbones: tuple[BackbonePlan, ...]
    """Their backbones."""
    power: tuple[Power, ...]
    """Their corpora, as far as they have outcomes."""
    problems: tuple[Problem, ...]
    """Cells that could not be planned, or not as they would run."""

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        plan: dict[str, Any] = asdict(self)
        for shown, backbone in zip(plan["backbones"], self.backbones, strict=True):
            shown["to_make"] = backbone.to_make
            if backbone.memory is not None:
                shown["memory"]["fits"] = backbone.memory.fits
        return plan
