"""Plan an experiment: walk all conversations of its cells, by backbone, and sum up what they need."""

from collections.abc import Sequence

from legalrr.errors import UserError, file_errors
from legalrr.plan.cells import BackboneCells, Cells, PlannedCell
from legalrr.plan.duration import Options, duration
from legalrr.plan.opened import Memory, model_memory, stated_facts, stated_memory
from legalrr.plan.power import Power, power
from legalrr.plan.result import BackbonePlan, CellPlan, Plan
from legalrr.plan.walk import CellUse, Walk, Walked
from legalrr.progress import progress
from legalrr.protocols import PricedBackbone
from legalrr.records import CompletedTurn
from legalrr.run.cell import PreparedCell
from legalrr.run.pipeline import call_store
from legalrr.run.spooled import SelectedJudgments


def make_plan(cells: Cells, options: Options) -> Plan:
    """Plan an experiment; no model is asked except by the calibration.

    What a tagger finds is stored, as the run needs it too.

    Args:
        cells: the cells of the experiment.
        options: the source of the speed.
    """
    plans, shown = [], []
    powers: dict[str, Power] = {}
    for group in cells.groups():
        walk, walked, uses = walk_group(group)
        for cell in group.cells:
            if cell.number in group.judgments:
                judgments = group.judgments[cell.number]
                shown.append(_cell_plan(cell, judgments, uses[cell.number]))
                _add_power(powers, cells, cell, judgments)
        plans.append(_backbone_plan(group, walk, walked, options))
    for cell in cells.baselines():
        try:
            with file_errors():
                judgments, _ = _prepared(cells, cell).judgments(None)
                shown.append(_cell_plan(cell, judgments, CellUse()))
                _add_power(powers, cells, cell, judgments)
        except UserError as error:
            cells.problems.add((cell.number,), error)
    return Plan(
        cells=tuple(sorted(shown, key=lambda one: one.number)),
        backbones=tuple(plans),
        power=tuple(powers.values()),
        problems=cells.problems.all(),
    )


def _prepared(cells: Cells, cell: PlannedCell) -> PreparedCell:
    return cell.prepared(cells.prepared)


def _add_power(powers: dict[str, Power], cells: Cells, cell: PlannedCell, judgments: SelectedJudgments) -> None:
    """Add the power of a corpus that has outcomes, once."""
    name = cell.pipeline.corpus.name
    scored = judgments.where(lambda one: one.outcome is not None)
    if scored and name not in powers:
        clusters = _prepared(cells, cell).clusters(scored)
        powers[name] = power(name, [j.outcome for j in scored.facts if j.outcome], [clusters[id] for id in scored.ids])


def walk_group(group: BackboneCells) -> tuple[Walk, list[Walked], dict[int, CellUse]]:
    """Walk the conversations of a backbone; return their calls, also by judgment, and the counts of each cell."""
    pipeline = group.cells[0].pipeline
    walk = Walk(
        engine=group.engine,
        store=None if group.opened is None else call_store(pipeline),
        retry_errors=pipeline.settings.retry_errors,
    )
    uses = {cell.number: CellUse() for cell in group.cells}
    walked = []
    ids = group.ids()
    with progress(f"count {pipeline.backbone.name}", len(ids), "judgments") as advance:
        for corpus, id in ids:
            try:
                walked.append(walk.judgment(group.conversations(corpus, id), uses))
            except UserError as error:
                group.problems.add([cell.number for cell in group.of_corpus(corpus)], error)
            advance(1)
    return walk, walked, uses


def _backbone_plan(group: BackboneCells, walk: Walk, walked: Sequence[Walked], options: Options) -> BackbonePlan:
    calls = [call for call in walk.calls.values() if not call.too_long and not call.error]
    made = [call for call in calls if not call.stored]
    config, backbone = group.cells[0].config, group.cells[0].pipeline.backbone
    thoughts = int(config.backbone.get("thinking_tokens") or 0)
    longest = max((call.tokens + call.quoted + call.limit for call in calls), default=0) + thoughts
    if group.opened is None:
        memory: Memory | None = stated_memory(stated_facts(config), config.backbone, longest)
    else:
        memory = model_memory(backbone, longest)
    written = sum(call.limit + thoughts for call in made if call.limit)
    read = sum(call.tokens + call.quoted for call in made)
    fresh = min(walk.fresh_tokens + sum(call.fresh_quoted for call in made), read)
    return BackbonePlan(
        name=_name(group.cells[0]),
        exact=group.opened is not None and group.opened.exact,
        calls=len(calls),
        stored=len(calls) - len(made),
        prompt_tokens=sum(call.tokens for call in calls),
        prompt_tokens_most=sum(call.tokens + call.quoted for call in calls),
        distinct_tokens=walk.distinct_tokens,
        distinct_tokens_most=walk.distinct_tokens + walk.quoted_once,
        written_most=written,
        too_long=sum(call.too_long for call in walk.calls.values()),
        maybe_too_long=sum(call.maybe_too_long for call in made),
        memory=memory,
        duration=duration(group, walk, walked, options, thoughts=thoughts) if made else None,
        cost_most=_cost(backbone, read, 0, written),
        cost_cached=_cost(backbone, read, read - fresh, written),
    )


def _name(cell: PlannedCell) -> str:
    """Return the name of a backbone, with the number of a repeated run."""
    settings = cell.pipeline.settings
    return cell.pipeline.backbone.name + (f", run {settings.repetition}" if settings.repetition > 1 else "")


def _cell_plan(cell: PlannedCell, judgments: SelectedJudgments, use: CellUse) -> CellPlan:
    pipeline = cell.pipeline
    return CellPlan(
        number=cell.number,
        arm=pipeline.settings.arm.label,
        corpus=pipeline.corpus.name,
        backbone=_name(cell) if pipeline.needs_backbone else None,
        judgments=len(judgments),
        use=use,
    )


def _cost(backbone: object, read: int, cached: int, written: int) -> float | None:
    if not isinstance(backbone, PricedBackbone):
        return None
    return backbone.cost(
        [
            CompletedTurn(
                name="", text="", finish_reason="stop", prompt_tokens=read, cached_tokens=cached, new_tokens=written
            )
        ]
    )
