"""Print a plan as tables and lines."""

from collections.abc import Iterator, Sequence

from legalrr.plan.power import ACCURACY, DIFFERENCE, DISAGREEMENT
from legalrr.plan.result import BackbonePlan, CellPlan, Duration, Plan
from legalrr.plan.walk import CellUse
from legalrr.progress import duration
from legalrr.tables import Table, standard_output

PIPE_WIDTH = 160
MOST_CELLS = 24
"""Cells up to which each has a row; more are added up by backbone and corpus."""
EXPLAINED = """\
calls: those with equal prompts are made once, also for several arms. prompt tokens: with answers that are not in the
store empty; at most: with these at their limits. distinct: nodes of the prefix tree of all prompts, which a model with
a prefix cache reads once. written at most: the limits of the answers to make, with thoughts."""


def print_plan(plan: Plan) -> None:
    """Print a plan."""
    console = standard_output(PIPE_WIDTH)
    if plan.cells:
        _cells_table(plan.cells).show(console)
        console.print()
    if plan.backbones:
        _backbones_table(plan.backbones).show(console)
        console.print(EXPLAINED)
    for line in _lines(plan):
        console.print(line)


def _cells_table(cells: Sequence[CellPlan]) -> Table:
    rows: list[tuple[str, ...]] = []
    if len(cells) <= MOST_CELLS:
        for cell in cells:
            name = cell.backbone or "no calls"
            rows.append((str(cell.number), cell.arm, cell.corpus, name, f"{cell.judgments:,}", *_numbers(cell.use)))
        return Table(
            header=("cell", "arm", "corpus", "backbone", "judgments", *NUMBERS),
            rows=tuple(rows),
            numeric=(True, *(False,) * 3, *(True,) * 6),
        )
    groups: dict[tuple[str, str], list[CellPlan]] = {}
    for cell in cells:
        groups.setdefault((cell.corpus, cell.backbone or "no calls"), []).append(cell)
    for (corpus, name), some in groups.items():
        judgments = {cell.judgments for cell in some}
        shown = f"{min(judgments):,}" if len(judgments) == 1 else f"{min(judgments):,} to {max(judgments):,}"
        rows.append((str(len(some)), corpus, name, shown, *_numbers(_sum([cell.use for cell in some]))))
    header = ("cells", "corpus", "backbone", "judgments", *NUMBERS)
    return Table(header=header, rows=tuple(rows), numeric=(True, False, False, *(True,) * 6))


NUMBERS = ("calls", "prompt tokens", "at most", "answers at most", "too long")


def _numbers(use: CellUse) -> tuple[str, ...]:
    if not use.calls and not use.too_long:
        return ("0", "", "", "", "")
    numbers = (use.calls, use.tokens, use.tokens + use.quoted, use.limit, use.too_long)
    return tuple(f"{number:,}" for number in numbers)


def _sum(uses: Sequence[CellUse]) -> CellUse:
    return CellUse(
        calls=sum(use.calls for use in uses),
        tokens=sum(use.tokens for use in uses),
        quoted=sum(use.quoted for use in uses),
        limit=sum(use.limit for use in uses),
        too_long=sum(use.too_long for use in uses),
    )


def _backbones_table(backbones: Sequence[BackbonePlan]) -> Table:
    rows = []
    for one in backbones:
        numbers = (
            one.calls,
            one.stored,
            one.to_make,
            one.prompt_tokens,
            one.prompt_tokens_most,
            one.distinct_tokens,
            one.distinct_tokens_most,
            one.written_most,
        )
        counted = "tokenizer" if one.exact else "estimate"
        rows.append((one.name, counted, *(f"{number:,}" for number in numbers)))
    header = (
        "backbone",
        "tokens by",
        "calls",
        "in the store",
        "to make",
        "prompt tokens",
        "at most",
        "distinct",
        "at most",
        "written at most",
    )
    return Table(header=header, rows=tuple(rows), numeric=(False, False, *(True,) * 8))


def _lines(plan: Plan) -> Iterator[str]:
    yield ""
    for one in plan.backbones:
        for line in (_memory(one), _time(one), _cluster(one), _money(one), _length(one)):
            if line is not None:
                yield line
    costs = [one.cost_most for one in plan.backbones if one.cost_most is not None]
    if len(costs) > 1:
        yield f"money in all: at most {sum(costs):,.2f}"
    for found in plan.power:
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in found.outcomes.items())
        smallest = "none can be found" if found.smallest is None else f"{found.smallest:.3f}"
        needed = "" if found.needed is None else f"; a difference of {DIFFERENCE} needs about {found.needed:,}"
        yield (
            f"power, {found.corpus}: {found.judgments:,} judgments ({outcomes}), {found.clusters:,} if near-duplicates "
            f"are one: smallest difference of macro-F1 found with power 0.8: {smallest}{needed}"
        )
    if plan.power:
        yield (
            f"  if both arms are right on {ACCURACY:.0%}, and exactly one of them on {DISAGREEMENT:.0%}; by the "
            "permutation test of the report, before Holm's correction"
        )
    for problem in plan.problems:
        cells = f"{'cell' if len(problem.cells) == 1 else 'cells'} {_ranges(problem.cells)}"
        yield f"{'note' if problem.planned else 'not planned'}, {cells}: {problem.message}"


def _ranges(numbers: Sequence[int]) -> str:
    """Write ascending numbers, three or more in a row as a range: 0 to 7, 9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def _memory(one: BackbonePlan) -> str | None:
    memory = one.memory
    if memory is None:
        return None
    if memory.weights is None or memory.states is None:
        return f"memory, {one.name}: unknown, as its files are not here"
    total = memory.weights + memory.states + memory.cache
    verdict = {True: "fits", False: "does not fit", None: f"no {memory.device} here to compare"}[memory.fits]
    available = "" if memory.available is None else f" of {memory.available / 1e9:.1f} GB"
    return (
        f"memory, {one.name}: {total / 1e9:.1f} GB{available} on {memory.device}: {verdict} "
        f"(weights {memory.weights / 1e9:.1f}, states of a full batch {memory.states / 1e9:.1f}, prefix cache at most "
        f"{memory.cache / 1e9:.1f}; without activations)"
    )


def _time(one: BackbonePlan) -> str | None:
    if not one.to_make:
        return f"time, {one.name}: none, all answers are in the store"
    found = one.duration
    if found is None:
        return f"time, {one.name}: not calibrated; give --tokens-per-second PREFILL,DECODE"
    basis = f"answers as long as {found.sampled:,} known ones" if found.sampled else "every answer at its limit"
    most = f", at most {duration(found.most)}" if found.sampled else ""
    if found.speed is None:
        return f"time, {one.name}: about {duration(found.expected)}{most} ({basis}, at the given speed, one by one)"
    speed = found.speed
    return (
        f"time, {one.name}: about {duration(found.expected)}{most} ({basis}; {speed.measured} measurements in "
        f"{speed.seconds:.0f} s, fitted to {speed.error:.0%}; after 1,024 tokens it reads {speed.prefill:,.0f} and "
        f"writes {speed.decode:,.1f} tokens per second, on this machine as busy as it was{_threads(found)})"
    )


def _threads(found: Duration) -> str:
    return "" if found.threads is None else f", with {found.threads} thread{'s' if found.threads > 1 else ''}"


def _cluster(one: BackbonePlan) -> str | None:
    whole = one.duration
    found = None if whole is None else whole.cluster
    if whole is None or found is None or not one.to_make:
        return None
    price = "" if found.price is None else f", {found.hours * found.price:,.2f} in money"
    beside = min(found.machine, found.workers) - 1
    like = f", each beside {beside:,} more on a machine like this one" if beside else " like this one"
    if beside and found.speed is not None:
        like += f", where it reads {found.speed.prefill:,.0f} and writes {found.speed.decode:,.1f} tokens per second"
    return (
        f"cluster, {one.name}: about {duration(found.expected)}, at most {duration(found.most)}, by {found.workers:,} "
        f"workers{like}{_threads(whole)}; {found.idle:.0%} of their time idle; {found.hours:,.2f} hours of all{price}"
    )


def _money(one: BackbonePlan) -> str | None:
    if one.cost_most is None:
        return None
    cached = "" if one.cost_cached is None else f"; {one.cost_cached:,.2f} if the server caches every common prefix"
    return f"money, {one.name}: at most {one.cost_most:,.2f} in the currency of backbone.prices{cached}"


def _length(one: BackbonePlan) -> str | None:
    if not one.too_long and not one.maybe_too_long:
        return None
    return (
        f"length, {one.name}: {one.too_long:,} prompts exceed the context, where their conversations end; "
        f"{one.maybe_too_long:,} would with the longest answers"
    )
