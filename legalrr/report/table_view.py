"""What a reader sees of a group, as strings: its treatment, its scores, its differences. The same in every format."""

import json

from legalrr.report.compare import ArmComparison, ArmResult, Group, Report
from legalrr.report.load import NO_BACKBONE, VERSION, RunResult, Setup, is_outdated
from legalrr.report.verdict_readers import run_number
from legalrr.score.cases import PARTY_UNKNOWN, TREATMENTS
from legalrr.score.invalid_bounds import macro_f1_bounds
from legalrr.tables import Table, bounds, fixed, p_value, share

TURNS = ("analysis", "statutes", "ratio", "ruling", "answer")
"""Order in which turn lengths are named."""

GKA = "backbone.gka."
"""What the options of Gated KalmaNet layers begin with."""

ATTENTION = "attention"
"""What a backbone without such options is."""


def scores_view(group: Group) -> Table:
    """The scores of a group; the reference arm is marked."""
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
    """Each row of a group against the reference arm."""
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
    """The cells without scores, and why."""
    gone = [cell for cell in report.cells if cell.status != "done" or not (cell.scores and cell.scores.n)]
    return Table(
        header=("Cell", "Arm", "Status", "Why"),
        rows=(
            *((_cell_name(cell), cell.label, cell.status, missing_reason(cell)) for cell in gone),
            *((_cell_name(row.cell), row.cell.label, row.cell.status, reason) for row, reason in report.left_out),
        ),
    )


def missing_reason(cell: RunResult) -> str:
    """Why a cell has no scores; "" where it has."""
    if cell.scores is not None and cell.scores.n == 0:
        return cell.scores.interval_note or ""
    return cell.problem


def arm_label(row: ArmResult) -> str:
    """Label of a row, with a mark at the reference arm."""
    return f"{row.setup.label} (reference)" if row.is_reference else row.setup.label


def group_title(group: Group) -> str:
    """Corpus, segmenter, backbone and run of a group."""
    setup = group.setup
    corpus = setup.corpus if setup.split is None else f"{setup.corpus} ({setup.split})"
    model = "no backbone" if setup.backbone == NO_BACKBONE else setup.backbone
    run = f", run {setup.repetition}" if setup.repetition > 1 else ""
    layers = f", {told}" if (told := attention_variant(setup)) != ATTENTION else ""
    return f"{corpus}, roles: {setup.segment}, {model}{layers}{run}"


def full_title(group: Group, report: Report) -> str:
    """What a group is about, with everything in which groups of the report may differ."""
    # The title names runs that were numbered; those that differ by their seeds alone are counted.
    counted = (run_number(group, report) or 1) if group.setup.repetition == 1 else 1
    run = f"run {counted}" if counted > 1 else ""
    parts = (group_title(group), run, group.setup.layout, group.setup.reading, differing_options(group, report))
    return ", ".join(part for part in parts if part)


def attention_variant(setup: Setup) -> str:
    """What `backbone.gka` makes of a backbone: "attention", or which layers are replaced and in how many steps they
    solve."""
    options = {key.removeprefix(GKA): json.loads(value) for key, value in setup.options.items() if key.startswith(GKA)}
    layers, steps = options.get("layers"), options.get("num_iter")
    parts = []
    if layers:
        parts.append(f"GKA {layers if isinstance(layers, str) else ' '.join(map(str, layers))}")
    if steps is not None:
        parts.append(f"r = {steps}")
    return ", ".join(parts) or ATTENTION


def treatment(group: Group, report: Report) -> list[str]:
    """Everything that a reader has to know beside the scores, a line each."""
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
        f"invalid answers: {TREATMENTS[report.invalid]}",
        _judgments(group),
        f"question: {_question(group)}",
        f"intervals: {scorer.confidence:.0%} BCa bootstrap over judgments, {scorer.resamples} resamples or all, "
        f"seed {scorer.seed}; of differences jackknife; permutations {scorer.permutations} or all",
    ]
    if is_outdated(setup):
        lines.append(
            f"answers read by version {setup.options[VERSION]} of the reader; --reading {setup.reading} reads them anew"
        )
    lines.append(f"options: {differing_options(group, report)}")
    return [line for line in lines if not line.endswith(": ")]


def differing_options(group: Group, report: Report) -> str:
    """Options in which groups of the report differ and that nothing else names, with the group's values; "" if none."""
    told = (
        "corpus.",
        "segment.",
        "backbone.",
        "annotate.layout",
        "annotate.tokens",
        "verdict.",
        "restructure.overflow",
    )
    options = [one.setup.options for one in report.groups if one.setup.backbone != NO_BACKBONE]
    keys = sorted({key for one in options for key in one if not key.startswith(told)})
    differing = [key for key in keys if len({one.get(key) for one in options}) > 1]
    return ", ".join(f"{key} {group.setup.options.get(key, 'unset')}" for key in differing)


def _judgments(group: Group) -> str:
    """Size and class balance; from one row where all agree, else from each distinct one."""
    sizes = dict.fromkeys(
        (row.scores.n, *(sum(row.scores.confusion[gold].values()) for gold in ("allowed", "dismissed")))
        for row in group.rows
    )
    told = " or ".join(
        f"n = {n} judgments ({allowed} allowed, {dismissed} dismissed)" for n, allowed, dismissed in sizes
    )
    n, units = max((row.scores.n, row.scores.clusters) for row in group.rows)
    return told if n == units else f"{told}; {n} judgments in {units} clusters, near-duplicates as one"


def _question(group: Group) -> str:
    """What is asked, and of how many judgments nothing tells which party came; "" for runs that did not note it."""
    asked = [row for row in group.rows if row.setup.backbone != NO_BACKBONE and row.cell.run.get("counts")]
    counts = asked[0].cell.run["counts"] if asked else {}
    if PARTY_UNKNOWN not in counts:
        return ""
    question = json.loads(group.setup.options.get("annotate.question", '"party"'))
    return f"{question}; party not known for {counts[PARTY_UNKNOWN]} of {counts['taken']} judgments"


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
