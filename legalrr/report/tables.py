"""Write the tables of a report: results, pairs, effects of D, R and C.

Effects of D, R and C in a report: of every group, of all backbones (and runs) on one corpus, and of all corpora
together.

Only groups under the same treatment are pooled: same layout, reading, roles, seed and every other option that is not
the corpus or the backbone itself.

Writes the tables: results.csv and pairs.csv with every column, results.md and results.tex to be read; and where
there is something to put into them, repeats.csv, readings.csv and explanations.csv.

Nothing in them depends on when or where a sweep ran, or on what the store held: two runs of the same sweep give the
same bytes, but for the columns `seconds_*` of results.csv.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from legalrr.errors import UserError
from legalrr.records import OUTCOMES
from legalrr.report.backbone_metrics import RULES as MEASURED_RULES
from legalrr.report.backbone_metrics import measured_columns, measured_rows, measured_view
from legalrr.report.compare import ArmComparison, Group, Report, finding
from legalrr.report.load import RunResult
from legalrr.report.paper_table import SETUP_COLUMNS, UNTESTED, explanations_csv, readings_csv, repeats_csv
from legalrr.report.sections import sections, shown_groups
from legalrr.report.table_view import apart, differences_view, missing_view, scores_view, title, treatment, why
from legalrr.report.verdict_readers import run_number
from legalrr.score.cases import INVALID_POLICIES, AnsweredCase, Answers
from legalrr.score.effects import ARMS, Effect, Factorial, effects
from legalrr.score.invalid_bounds import has_invalid, macro_f1_bounds, p_unfavourable
from legalrr.score.scorer import Scores
from legalrr.tables import Table, fixed, p_exact, write_files


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The effects in some groups of a report."""

    title: str
    """What is pooled."""
    groups: tuple[int, ...]
    """Places of the groups in the report."""
    effects: tuple[Effect, ...]
    """All effects on all measures; empty where they cannot be computed."""
    note: str = ""
    """Why they cannot, or what of the groups was left out; else ""."""


@lru_cache(maxsize=1)
def pools(report: Report) -> list[Pool]:
    """Effects of every group with at least two arms of the factorial, then of what can be pooled."""
    able = [place for place, group in enumerate(report.groups) if len(_arms(group)[0]) > 1]
    found = [_pool(report, full_title(report.groups[place], report), [place]) for place in able]
    alike: dict[object, dict[str, list[int]]] = {}
    for place in able:
        corpora = alike.setdefault(_treatment(report.groups[place]), {})
        corpora.setdefault(_corpus(report.groups[place]), []).append(place)
    for corpora in alike.values():
        for corpus, places in corpora.items():
            if len(places) > 1:
                names = ", ".join(_answerer(report.groups[place], report) for place in places)
                found.append(_pool(report, f"{corpus}, pooled over {names}", places))
        if len(corpora) > 1:
            places = [place for members in corpora.values() for place in members]
            found.append(_pool(report, f"pooled over {', '.join(corpora)}", places))
    return found


def full_title(group: Group, report: Report) -> str:
    """What a group is about, with everything in which groups of the report may differ."""
    # The title names runs that were numbered; those that differ by their seeds alone are counted.
    counted = (run_number(group, report) or 1) if group.setup.repetition == 1 else 1
    run = f"run {counted}" if counted > 1 else ""
    parts = (title(group), run, group.setup.layout, group.setup.reading, apart(group, report))
    return ", ".join(part for part in parts if part)


def _pool(report: Report, named: str, places: Sequence[int]) -> Pool:
    groups = [report.groups[place] for place in places]
    factorials = [
        Factorial(corpus=_corpus(group), backbone=group.setup.backbone, arms=_arms(group)[0]) for group in groups
    ]
    notes = dict.fromkeys(note for group in groups for note in _arms(group)[1])
    try:
        found = effects(factorials, scorer=groups[0].rows[0].cell.scorer)
    except UserError as error:
        return Pool(title=named, groups=tuple(places), effects=(), note=error.what)
    return Pool(title=named, groups=tuple(places), effects=tuple(found), note="; ".join(notes))


def _arms(group: Group) -> tuple[dict[str, Sequence[AnsweredCase]], list[str]]:
    """The arms of the factorial, and which were left out as several cells of them differ."""
    cells: dict[str, dict[str, Sequence[AnsweredCase]]] = {}
    for row in group.rows:
        if row.setup.arm in ARMS and row.setup.family == "arm":
            cells.setdefault(row.setup.arm, {})[row.cell.digest] = row.cases
    several = [f"left out, as several cells of it answer differently: {arm}" for arm in cells if len(cells[arm]) > 1]
    return {arm: next(iter(found.values())) for arm, found in cells.items() if len(found) == 1}, several


def _corpus(group: Group) -> str:
    setup = group.setup
    return setup.corpus if setup.split is None else f"{setup.corpus} ({setup.split})"


def _answerer(group: Group, report: Report) -> str:
    run = run_number(group, report) or group.setup.repetition
    return group.setup.backbone if run == 1 else f"{group.setup.backbone} (run {run})"


def _treatment(group: Group) -> tuple[object, ...]:
    setup = group.setup
    apart = ("corpus.", "segment.", "backbone.")
    options = tuple(sorted(item for item in setup.options.items() if not item[0].startswith(apart)))
    reread = group.rows[0].cell.reread
    return (setup.segment, setup.layout, setup.reading, setup.overflow, setup.limit, setup.seed, reread, options)


REASONS = ("unparsed", "budget", "overflow", "error")
"""Reasons of invalid answers (`legalrr.records.Verdict.reason`)."""
MISS = """\
An answer that cannot be read as YES or NO is invalid: a miss in the class of its gold outcome, never a false positive.
"""
BOUNDS = """\
Invalid wrong to right: macro-F1 with every invalid answer read as the wrong outcome, and with every one as the right
one. p Holm, bound: with the invalid answers of the better arm wrong and those of the other right. A difference counts
as shown only if both p are below 0.05.
"""
LEFT_OUT = """\
An answer that cannot be read as YES or NO is invalid: {treatment}. Scores are of different judgments where n differs;
differences are on the judgments that both arms have.
"""
RULES = """\
Macro-F1 is the mean of F1 over the two classes. FPR: gold dismissed, answered allowed, of all gold dismissed.
FNR: gold allowed, not answered allowed, of all gold allowed. MCC: correlation of outcome and answer; p skill: the
answers permuted against the outcomes, two-sided mid-p, not adjusted; empty where all answers are the same.
Near-duplicates are one unit of every interval and test. [-]: no interval is defined."""
PAIR_RULES = """\
Macro-F1 less that of the reference arm on the same judgments. b, c: judgments that only the arm, only the reference
gets right. p Holm: the permutation p, adjusted over the distinct differences of arms from the reference arm (arms with
the same prompts and answers are one); baselines and probes are families of their own. The permutation test rules: an
interval that would leave out 0 beside p permutation > 0.05 is extended to 0. Baselines that answer everything alike are
not tested: see p skill. Smallest detectable: the true difference, as discordant judgments beside those observed, that
the permutation test would have found with power 0.8; -: so few judgments can show none."""
RESULT_COLUMNS = (
    *("sweep", "job", "label", "arm", "family", "corpus", "split", "segment", "backbone", "layout", "order", "reading"),
    *("scoring", "overflow", "limit", "seed", "reference", "repetition", "turn_tokens", "invalid_answers"),
    *("status", "problem"),
    *("n", "gold_allowed", "gold_dismissed", "macro_f1", "macro_f1_low", "macro_f1_high", "interval_note"),
    *("f1_allowed", "f1_dismissed", "precision_allowed", "precision_dismissed", "recall_allowed", "recall_dismissed"),
    *("accuracy", "fpr", "fnr", "mcc", "yes_rate", "brier", "invalid_rate"),
    *(f"invalid_{reason}" for reason in REASONS),
    *("cut_off_rate", "unlabelled", "skipped", "shortened", "dropped_tokens", "prompt_tokens", "new_tokens"),
    *("interval_method", "mcc_low", "mcc_high", "p_skill", "clusters"),
    *("macro_f1_invalid_wrong", "macro_f1_invalid_right"),
)
"""Columns of results.csv; `seconds_<stage>` follow. Rates have six decimals, empty means undefined or not known."""
PAIR_COLUMNS = (
    *SETUP_COLUMNS,
    *("repetition", "invalid_answers"),
    *("sweep", "job", "label", "arm", "family", "reference", "reference_sweep", "reference_job"),
    *("n", "difference", "difference_low", "difference_high", "interval_note"),
    *("p_permutation", "p_holm", "p_mcnemar", "b", "c", "smallest_detectable", "note", "clusters"),
    *("difference_bound", "p_permutation_bound", "p_holm_bound", "shown"),
)
"""Columns of pairs.csv; corpus to seed are those of the group, so a baseline stands there once per backbone."""


def write_tables(report: Report, folder: Path) -> list[Path]:
    """Writes the tables, each whole or not at all; returns their paths."""
    texts = {
        "results.csv": results_csv(report),
        "results.md": results_md(report),
        "results.tex": results_tex(report),
        "pairs.csv": pairs_csv(report),
    }
    further = {
        "repeats.csv": repeats_csv(report),
        "readings.csv": readings_csv(report),
        "explanations.csv": explanations_csv(report),
        "measured.csv": measured_csv(report),
    }
    texts |= {file: text for file, text in further.items() if text}
    return write_files(folder, texts)


def results_csv(report: Report) -> str:
    """A row per cell, failed and unfinished ones included; where invalid answers are left out, a row per row of a
    group, as a baseline is then scored on other judgments in each."""
    stages = sorted({f"seconds_{stage}" for cell in report.cells for stage in cell.seconds})
    if report.invalid == "miss":
        rows = [_result(cell, report) for cell in report.cells]
    else:
        rows = [
            _result(replace(row.cell, scores=row.scores, answers=Answers(cases=row.cases)), report)
            | {"backbone": group.setup.backbone}
            for group in report.groups
            for row in group.rows
        ]
    return Table.from_records(rows, (*RESULT_COLUMNS, *stages)).csv()


def pairs_csv(report: Report) -> str:
    """A row per row of a group that is not its reference arm."""
    rows = (_pair(group, pair, report) for group in report.groups for pair in group.pairs)
    return Table.from_records(rows, PAIR_COLUMNS).csv()


def measured_csv(report: Report) -> str:
    """A row per backbone that was measured by itself; "" where none was."""
    columns = measured_columns(measured_rows(report))
    return Table.from_records(columns, tuple(columns[0])).csv() if columns else ""


def results_md(report: Report) -> str:
    """The compact view in Markdown, a section per group."""
    parts = ["# Results", rules(report)]
    for group in shown_groups(report):
        parts += [f"## {title(group)}", "\n".join(f"- {line}" for line in treatment(group, report))]
        parts.append(scores_view(group).markdown())
        if group.pairs:
            parts += ["### Differences", PAIR_RULES, differences_view(group).markdown(), finding(group)]
    for section in sections(report):
        parts += [f"## {section.title}", "\n".join(f"- {line}" for line in section.lines)]
        for heading, explained, view in section.tables:
            parts += [f"### {heading}" if heading else "", explained, view.markdown()]
    if rows := measured_rows(report):
        parts += ["## Backbones", MEASURED_RULES, measured_view(rows).markdown()]
    missing = missing_view(report)
    if missing.rows:
        parts += ["## Cells without scores", missing.markdown()]
    return "\n\n".join(part for part in parts if part) + "\n"


def results_tex(report: Report) -> str:
    """The compact view for LaTeX (booktabs), a tabular per group; its treatment stands above it as comments."""
    parts = ["".join(f"% {line}\n" for line in rules(report).splitlines())]
    for group in shown_groups(report):
        parts.append(_tabular(scores_view(group), (title(group), *treatment(group, report))))
    for section in sections(report):
        for heading, explained, view in section.tables:
            about = (section.title, *section.lines, *([heading] if heading else []), *explained.splitlines())
            parts.append(_tabular(view, about))
    return "\n".join(parts)


def rules(report: Report) -> str:
    """How the scores of a report come about."""
    if report.invalid != "miss":
        return LEFT_OUT.format(treatment=INVALID_POLICIES[report.invalid]) + RULES
    invalid = has_invalid(*(row.cases for group in report.groups for row in group.rows))
    return MISS + (BOUNDS if invalid else "") + RULES


def _tabular(table: Table, about: Sequence[str]) -> str:
    return "".join(f"% {line}\n" for line in about) + table.latex()


def _result(cell: RunResult, report: Report) -> dict[str, object]:
    row: dict[str, object] = {"sweep": cell.sweep, "job": cell.job, "label": cell.label, "status": cell.status}
    row |= {"problem": why(cell), "invalid_answers": report.invalid}
    if cell.setup is not None:
        row |= {column: getattr(cell.setup, column) for column in ("arm", "family", "order", "scoring")}
        row |= {column: getattr(cell.setup, column) for column in ("reference", "repetition")}
        row |= {column: getattr(cell.setup, column) for column in SETUP_COLUMNS}
        row["turn_tokens"] = " ".join(f"{turn}={length}" for turn, length in cell.setup.tokens.items())
    if cell.answers is not None:
        cases = cell.answers.cases
        row["unlabelled"] = cell.answers.unlabelled
        row["skipped"] = sum(case.skipped for case in cases)
        row["shortened"] = sum(case.dropped_tokens > 0 for case in cases)
        row["dropped_tokens"] = sum(case.dropped_tokens for case in cases)
        row["prompt_tokens"] = sum(case.prompt_tokens for case in cases)
        row["new_tokens"] = sum(case.new_tokens for case in cases)
        if cases:
            # Without an invalid answer both are the score itself.
            score = cell.scores.macro_f1 if cell.scores else None
            limits = macro_f1_bounds(cases) or (score, score)
            row["macro_f1_invalid_wrong"], row["macro_f1_invalid_right"] = (fixed(limit, 6) for limit in limits)
    if cell.scores is not None:
        row |= _scores(cell.scores)
    return row | {f"seconds_{stage}": fixed(seconds) for stage, seconds in cell.seconds.items()}


def _scores(scores: Scores) -> dict[str, object]:
    row: dict[str, object] = {"n": scores.n, "interval_note": scores.interval_note}
    for name in ("macro_f1", "accuracy", "fpr", "fnr", "mcc", "yes_rate", "brier", "invalid_rate", "cut_off_rate"):
        row[name] = fixed(getattr(scores, name), 6)
    for outcome in OUTCOMES:
        row[f"gold_{outcome}"] = sum(scores.confusion[outcome].values())
        row |= {f"{name}_{outcome}": fixed(getattr(scores, name)[outcome], 6) for name in ("f1", "precision", "recall")}
    row |= {"interval_method": scores.interval_method, "p_skill": p_exact(scores.p_skill), "clusters": scores.clusters}
    if scores.mcc_interval is not None:
        row["mcc_low"], row["mcc_high"] = (fixed(bound, 6) for bound in scores.mcc_interval)
    if scores.interval is not None:
        row["macro_f1_low"], row["macro_f1_high"] = (fixed(bound, 6) for bound in scores.interval)
    return row | {f"invalid_{reason}": scores.invalid.get(reason, 0) for reason in REASONS}


def _pair(group: Group, pair: ArmComparison, report: Report) -> dict[str, object]:
    cell, setup, found = pair.row.cell, pair.row.setup, pair.comparison
    row: dict[str, object] = {column: getattr(group.setup, column) for column in SETUP_COLUMNS}
    row |= {"repetition": group.setup.repetition, "invalid_answers": report.invalid}
    row |= {"sweep": cell.sweep, "job": cell.job, "label": cell.label, "note": pair.note}
    row |= {"arm": setup.arm, "family": setup.family, "reference": setup.reference}
    if pair.reference is not None:
        row |= {"reference_sweep": pair.reference.cell.sweep, "reference_job": pair.reference.cell.job}
    if found is not None:
        row |= {"n": found.n, "b": found.b, "c": found.c, "interval_note": found.interval_note}
        bound = pair.bound or found
        row |= {"difference": fixed(found.difference, 6), "difference_bound": fixed(bound.difference, 6)}
        row |= {"clusters": found.clusters, "shown": int(pair.shown)}
        if pair.tested:
            row |= {name: p_exact(getattr(found, name)) for name in ("p_permutation", "p_mcnemar")}
            row["p_permutation_bound"] = p_exact(p_unfavourable(found, pair.bound))
            row["smallest_detectable"] = fixed(found.smallest_detectable, 6)
        else:
            row["note"] = UNTESTED
        row |= {name: p_exact(getattr(pair, name)) for name in ("p_holm", "p_holm_bound")}
        if found.interval is not None:
            row["difference_low"], row["difference_high"] = (fixed(bound, 6) for bound in found.interval)
    return row
