"""Display tables of a group: settings, scores and differences, as strings that are the same in every format."""

import json

from legalrr.report.compare import ArmComparison, ArmResult, Group, Report
from legalrr.report.load import NO_BACKBONE, VERSION, RunResult, Setup, is_outdated
from legalrr.report.verdict_readers import run_number
from legalrr.score.cases import INVALID_POLICIES, PARTY_UNKNOWN
from legalrr.score.invalid_bounds import macro_f1_bounds
from legalrr.tables import Table, bounds, fixed, p_value, share

TURNS = ("analysis", "statutes", "ratio", "ruling", "answer")
"""Order of turns."""

GKA = "backbone.gka."
"""Prefix of the options of Gated KalmaNet layers."""

COUNTS = ("read", "taken", "scored")
"""Counts of judgments in run.json that are not those of a reason to leave some out."""

ATTENTION = "attention"
"""Name of a backbone without such layers."""


def scores_view(group: Group) -> Table:
    """Return the table of scores of a group, with the reference arm marked."""
    level = f"{group.rows[0].cell.scorer.confidence:.0%}"
    limits = [macro_f1_bounds(row.cases) for row in group.rows]
    bounded = any(limit is not None for limit in limits)
    return Table(
        header=(
            "Arm",
            "n",
            f"Macro-F1 [{level}]",
            *(["Invalid wrong to right"] if bounded else []),
            "F1 allowed",
            "F1 dismissed",
            "FPR",
            "FNR",
            "Accuracy",
            "Invalid %",
            "Cut off %",
            "Dropped tokens",
            f"MCC [{level}]",
            "p skill",
        ),
        rows=tuple(
            (
                arm_label(row),
                str(row.scores.n),
                f"{fixed(row.scores.macro_f1)} {bounds(row.scores.interval)}",
                *([_limits(limit)] if bounded else []),
                fixed(row.scores.f1["allowed"]),
                fixed(row.scores.f1["dismissed"]),
                fixed(row.scores.fpr),
                fixed(row.scores.fnr),
                fixed(row.scores.accuracy),
                share(row.scores.invalid_rate),
                share(row.scores.cut_off_rate),
                str(sum(case.dropped_tokens for case in row.cases)),
                f"{fixed(row.scores.mcc)} {bounds(row.scores.mcc_interval)}",
                p_value(row.scores.p_skill),
            )
            for row, limit in zip(group.rows, limits, strict=True)
        ),
    )


def differences_view(group: Group) -> Table:
    """Return the table of differences of a group to the reference arm."""
    level = f"{group.rows[0].cell.scorer.confidence:.0%}"
    bounded = any(pair.bound is not None for pair in group.pairs)
    return Table(
        header=(
            "Arm",
            "n",
            f"Difference [{level}]",
            "p permutation",
            "p Holm",
            *(["p Holm, bound"] if bounded else []),
            "p McNemar",
            "b",
            "c",
            "Smallest detectable",
        ),
        rows=tuple(_difference(pair, bounded=bounded) for pair in group.pairs),
    )


def missing_view(report: Report) -> Table:
    """Return the table of cells without scores, with the reasons."""
    rows = ((_cell_name(cell), cell.label, cell.status, reason) for cell, reason in missing_cells(report))
    return Table(header=("Cell", "Arm", "Status", "Why"), rows=tuple(rows))


def missing_cells(report: Report) -> list[tuple[RunResult, str]]:
    """Return the cells without scores, also those that the policy for invalid answers leaves without judgments."""
    missing = [cell for cell in report.cells if cell.status != "done" or not (cell.scores and cell.scores.n)]
    return [*((cell, missing_reason(cell)) for cell in missing), *((row.cell, why) for row, why in report.left_out)]


def missing_reason(cell: RunResult) -> str:
    """Return why a cell has no scores; "" if it has scores."""
    if cell.scores is not None and cell.scores.n == 0:
        return cell.scores.interval_note or ""
    return cell.problem


def arm_label(row: ArmResult) -> str:
    """Return the label of a row, with a mark on the reference arm."""
    return f"{row.setup.label} (reference)" if row.is_reference else row.setup.label


def group_title(group: Group) -> str:
    """Return the title of a group: corpus, segmenter, backbone and run."""
    return setup_title(group.setup)


def setup_title(setup: Setup) -> str:
    """Return the title of the group of a cell: corpus, segmenter, backbone and run."""
    model = "no backbone" if setup.backbone == NO_BACKBONE else setup.backbone
    run = f", run {setup.repetition}" if setup.repetition > 1 else ""
    layers = f", {variant}" if (variant := attention_variant(setup)) != ATTENTION else ""
    return f"{setup.corpus_name}, roles: {setup.segment}, {model}{layers}{run}"


def full_title(group: Group, report: Report) -> str:
    """Return the title of a group, with all settings in which groups of the report may differ."""
    # group_title names numbered runs; runs that differ only in their seeds are counted here.
    counted = (run_number(group, report) or 1) if group.setup.repetition == 1 else 1
    run = f"run {counted}" if counted > 1 else ""
    parts = (group_title(group), run, group.setup.layout, group.setup.reading, differing_options(group, report))
    return ", ".join(part for part in parts if part)


def attention_variant(setup: Setup) -> str:
    """Return "attention", or the layers that `backbone.gka` replaces and their number of solver steps."""
    options = {key.removeprefix(GKA): json.loads(value) for key, value in setup.options.items() if key.startswith(GKA)}
    layers, steps = options.get("layers"), options.get("num_iter")
    parts = []
    if layers:
        parts.append(f"GKA {' '.join(map(str, layers)) if isinstance(layers, list) else layers}")
    if steps is not None:
        parts.append(f"r = {steps}")
    return ", ".join(parts) or ATTENTION


def treatment(group: Group, report: Report) -> list[str]:
    """Return the settings and the data behind the scores of a group, one line each."""
    setup, scorer = group.setup, group.rows[0].cell.scorer
    lengths = {turn: length for row in group.rows for turn, length in row.setup.tokens.items()}
    turns = [turn for turn in TURNS if turn in lengths] + sorted(lengths.keys() - set(TURNS))
    lines = [
        "; ".join(
            f"{what} {value}"
            for what, value in (
                ("reading", setup.reading),
                ("layout", setup.layout),
                ("overflow", setup.overflow),
                ("limit", "none" if setup.limit is None else setup.limit),
                ("seed", setup.seed),
            )
            if value is not None
        ),
        "turn lengths in tokens: " + ", ".join(f"{turn} {lengths[turn]}" for turn in turns),
        f"invalid answers: {INVALID_POLICIES[report.invalid]}",
        _judgments(group),
        f"edited texts: {group.edited}",
        f"question: {_question(group)}",
        f"intervals: {scorer.confidence:.0%} BCa bootstrap over judgments, {scorer.resamples} resamples or all, "
        f"seed {scorer.seed}; of differences jackknife; permutations {scorer.permutations} or all",
    ]
    if is_outdated(setup):
        lines.append(
            f"answers read by reader version {setup.options[VERSION]}; --reading {setup.reading} reads them again"
        )
    lines.append(f"options: {differing_options(group, report)}")
    return [line for line in lines if not line.endswith(": ")]


def differing_options(group: Group, report: Report) -> str:
    """Return the options in which groups differ and that no other line names, with the group's values; "" if none."""
    named = (
        "corpus.",
        "segment.",
        "backbone.",
        "annotate.layout",
        "annotate.tokens",
        "verdict.",
        "restructure.overflow",
    )
    options = [one.setup.options for one in report.groups if one.setup.backbone != NO_BACKBONE]
    keys = sorted({key for one in options for key in one if not key.startswith(named)})
    differing = [key for key in keys if len({one.get(key) for one in options}) > 1]
    return ", ".join(f"{key} {group.setup.options.get(key, 'unset')}" for key in differing)


def _judgments(group: Group) -> str:
    """Return size and class balance, for each distinct pair of them among the rows, and what is not scored."""
    sizes = dict.fromkeys(
        (row.scores.n, *(sum(row.scores.confusion[gold].values()) for gold in ("allowed", "dismissed")))
        for row in group.rows
    )
    balance = " or ".join(
        f"n = {n} judgments ({allowed} allowed, {dismissed} dismissed)" for n, allowed, dismissed in sizes
    )
    counts: dict[str, int] = next((row.cell.run["counts"] for row in group.rows if row.cell.run.get("counts")), {})
    n, units = max((row.scores.n, row.scores.clusters) for row in group.rows)
    if counts.get("taken", n) != n:
        balance += f", of {counts['taken']} asked about"
    excluded = {reason: count for reason, count in counts.items() if reason not in (*COUNTS, PARTY_UNKNOWN)}
    if excluded and "read" in counts:
        balance += f"; {counts['read']} read, left out " + ", ".join(f"{n} {why}" for why, n in excluded.items())
    return balance if n == units else f"{balance}; {n} judgments in {units} clusters, near-duplicates as one"


def _question(group: Group) -> str:
    """Return the question and the number of judgments with unknown party; "" for runs that did not record these."""
    answering = [row for row in group.rows if row.setup.backbone != NO_BACKBONE and row.cell.run.get("counts")]
    counts = answering[0].cell.run["counts"] if answering else {}
    if not {PARTY_UNKNOWN, "taken"} <= counts.keys():
        return ""
    question = json.loads(group.setup.options.get("annotate.question", '"party"'))
    asked = f"{counts['taken']} judgments" + (" asked about" if counts["taken"] != answering[0].scores.n else "")
    return f"{question}; party not known for {counts[PARTY_UNKNOWN]} of {asked}"


def _limits(limits: tuple[float, float] | None) -> str:
    return "" if limits is None else " to ".join(map(fixed, limits))


def _difference(pair: ArmComparison, *, bounded: bool) -> tuple[str, ...]:
    found = pair.comparison
    if found is None:
        return (pair.row.setup.label, "", pair.note, "", "", *([""] if bounded else []), "", "", "", "")
    return (
        pair.row.setup.label,
        str(found.n),
        f"{found.difference:+z.3f} {bounds(found.interval)}",
        p_value(found.p_permutation if pair.tested else None),
        p_value(pair.p_holm),
        *([p_value(pair.p_holm_bound)] if bounded else []),
        p_value(found.p_mcnemar if pair.tested else None),
        str(found.b),
        str(found.c),
        (fixed(found.smallest_detectable) or "-") if pair.tested else "",
    )


def _cell_name(cell: RunResult) -> str:
    return cell.name if cell.sweep == 1 else f"folder {cell.sweep}, {cell.name}"
