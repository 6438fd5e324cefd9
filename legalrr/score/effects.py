"""Estimate the effects of the switches D, R and C: the eight arms are a 2 x 2 x 2 factorial on the same judgments.

An effect is a contrast of the scores y of the arms, in the usual scaling (Box, Hunter and Hunter, Statistics for
Experimenters, ch. 5): with s = +1 if a switch is on and -1 if it is off,

    D      = mean of s_D y over the 8 arms, doubled: the mean with D minus the mean without
    D:R    = mean of s_D s_R y, doubled: half of what R adds to the effect of D; as large for D on R as for R on D
    D:R:C  = mean of s_D s_R s_C y, doubled

An effect is estimated within each setting of the other switches and averaged over them. If arms are missing, only
settings with all their arms are used, and `Effect.settings` names them: from the arms None, D, C, D/C, the effect of D
is that without R, and R has none.

Intervals are jackknife intervals (`legalrr.score.intervals`) over judgments, each left out with the answers of all arms
and backbones. They are not adjusted for the number of effects.

Three effects are tested (`CONFIRMATORY`): D, R and C on macro-F1. If a switch made no difference, the answers to a
judgment with and without it could be swapped, over all settings of the others, all backbones and runs at once
(`legalrr.score.permutation`). Holm's correction runs over the three. An effect counts as shown only if it also holds
under its unfavourable bound (`legalrr.score.invalid_bounds`). The other effects are exploratory, with an interval and
no p.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from legalrr.errors import UserError
from legalrr.records import Scored, by_id
from legalrr.score.detectable import Population
from legalrr.score.intervals import Interval, Sample, jackknife_of_counts, reconcile_with_test
from legalrr.score.invalid_bounds import (
    Bound,
    has_invalid,
    invalid_as_right,
    invalid_as_wrong,
    p_unfavourable,
    significant_under_bound,
)
from legalrr.score.metrics import (
    Codes,
    Counts,
    Floats,
    accuracy_of_counts,
    codes,
    macro_f1_of_counts,
    yes_rate_of_counts,
)
from legalrr.score.permutation import Swap, SwapColumns
from legalrr.score.scorer import PredictionScorer, clusters
from legalrr.score.significance import holm, join_by_id

SWITCHES = ("D", "R", "C")
ARMS: Mapping[str, str] = MappingProxyType(
    {"plain": "", "d": "D", "r": "R", "c": "C", "dr": "DR", "dc": "DC", "rc": "RC", "drc": "DRC"}
)
"""Arm -> the switches that are on."""
EFFECTS = tuple(":".join(names) for size in (1, 2, 3) for names in combinations(SWITCHES, size))
"""D, R, C, D:R, D:C, R:C, D:R:C."""
CONFIRMATORY = tuple(("macro_f1", switch) for switch in SWITCHES)
"""Measure and name of the tested effects; the others are exploratory."""
MEASURES: Mapping[str, Callable[[Counts], Floats]] = MappingProxyType(
    {"macro_f1": macro_f1_of_counts, "accuracy": accuracy_of_counts, "yes_rate": yes_rate_of_counts}
)
"""Measure -> function of counts of codes."""


@dataclass(frozen=True, kw_only=True)
class Factorial:
    """Arms of one backbone on one set of judgments."""

    corpus: str
    """Corpus of the judgments; within one corpus, equal ids are the same judgment."""
    backbone: str
    """Name of the backbone, for messages."""
    arms: Mapping[str, Sequence[Scored]]
    """Arm (a key of `ARMS`) -> its cases."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Effect of a switch, or interaction of switches, on one measure."""

    name: str
    """One of `EFFECTS`."""
    measure: str
    """One of `MEASURES`."""
    n: int
    """Judgments."""
    settings: tuple[str, ...]
    """Settings of the other switches that are averaged over, each as the switches that are on ("" for none)."""
    note: str
    """Missing arms of the factorial; "" if it is complete."""
    estimate: float | None = None
    """The effect; None if required arms are missing."""
    interval: tuple[float, float] | None = None
    """Jackknife interval of the estimate."""
    interval_note: str | None = None
    """Reason for a missing interval, or its conflict with the test (`intervals.reconcile_with_test`); else None."""
    p_permutation: float | None = None
    """Two-sided permutation p; None for effects that are not tested."""
    p_holm: float | None = None
    """`p_permutation` adjusted over the effects of `CONFIRMATORY`; None for effects that are not tested."""
    smallest_detectable: float | None = None
    """Smallest true effect that the test detects with power 0.8 (`legalrr.score.detectable`); None for effects that
    are not tested, and if it detects none."""
    clusters: int = 0
    """Units of interval and test: judgments, with a cluster of near-duplicates as one."""
    bound: float | None = None
    """Effect under its unfavourable bound (`legalrr.score.invalid_bounds`); None for effects that are not tested, and
    if none of their answers is invalid."""
    p_holm_bound: float | None = None
    """As `p_holm`, under the unfavourable bound."""

    @property
    def shown(self) -> bool:
        """Whether the effect is significant, also under its unfavourable bound."""
        return significant_under_bound(self.p_holm, self.p_holm_bound)


def effects(factorials: Sequence[Factorial], *, scorer: PredictionScorer) -> list[Effect]:
    """Estimate main effects and interactions on every measure, for one factorial or pooled over several.

    For pooling, the score of each arm is computed per factorial; within a corpus, effects are averaged over backbones;
    corpora are weighted by their judgments. A pooled effect uses only the settings that every factorial has.

    Args:
        factorials: the factorials to pool. Each has at least one arm.
        scorer: confidence of the intervals, permutations and seed of the tests.

    Returns:
        All effects on the first measure, then on the next, including those that cannot be estimated, with a note.

    Raises:
        UserError: no factorial, no judgments, an unknown arm, a duplicate id, an id that only some arms of a factorial
            have, or two gold outcomes for one judgment.
    """
    if not factorials:
        raise UserError("no arms", where="effects", cure="give the cells of at least one backbone")
    for arm in (arm for one in factorials for arm in one.arms if arm not in ARMS):
        raise UserError(f"unknown arm {arm!r}", where="effects", cure=f"the factorial has {', '.join(ARMS)}")
    corpora: dict[str, list[Factorial]] = {}
    for one in factorials:
        corpora.setdefault(one.corpus, []).append(one)
    answers, groups = zip(*(_answer_codes(members) for members in corpora.values()), strict=True)
    n = sum(len(one) for one in answers)
    settings = {name: _settings(name, factorials) for name in EFFECTS}
    able = [name for name in EFFECTS if settings[name]]
    contrasts = [
        len(one) / n * _contrasts(members, {name: settings[name] for name in able})
        for one, members in zip(answers, corpora.values(), strict=True)
    ]

    def statistic(*counts: Counts) -> Floats:
        parts = (
            np.concatenate([measure(one) @ contrast for measure in MEASURES.values()], axis=1)
            for one, contrast in zip(counts, contrasts, strict=True)
        )
        return np.stack(list(parts)).sum(axis=0)

    samples = [Sample.of(one, group) for one, group in zip(answers, groups, strict=True)]
    found: dict[tuple[str, str], dict[str, Any]] = {}
    if able:
        values = statistic(*(sample.counts(sample.sizes[None]) for sample in samples))[0]
        intervals = jackknife_of_counts(samples, statistic, confidence=scorer.confidence, reach=1.0)
        by_key = dict(zip(product(MEASURES, able), intervals, strict=True))
        for (key, interval), value in zip(by_key.items(), values, strict=True):
            found[key] = {"estimate": float(value), **_interval_fields(interval)}
        tested = [(measure, name) for measure, name in CONFIRMATORY if name in able]
        unfavourable = []
        for measure, name in tested:
            own = [contrast[:, able.index(name)] for contrast in contrasts]
            swap = _swap(measure, name, samples, own, corpora.values())
            effect = Bound.of(swap, scorer=scorer)
            interval = reconcile_with_test(by_key[measure, name], effect.p_permutation, scorer.confidence)
            test = {"p_permutation": effect.p_permutation, "smallest_detectable": Population(swap=swap).smallest()}
            found[measure, name] |= {**_interval_fields(interval), **test}
            bound = None
            if has_invalid(*_contributing_cases(name, settings[name], factorials)):
                against = [_unfavourable_factorials(name, effect.difference, members) for members in corpora.values()]
                filled = [Sample.of(*_answer_codes(members)) for members in against]
                bound = Bound.of(_swap(measure, name, filled, own, corpora.values()), scorer=scorer)
                found[measure, name]["bound"] = bound.difference
            unfavourable.append(p_unfavourable(effect, bound))
        adjusted = holm([found[key]["p_permutation"] for key in tested])
        for key, p, p_bound in zip(tested, adjusted, holm(unfavourable), strict=True):
            found[key] |= {"p_holm": p, "p_holm_bound": p_bound}
    return [
        Effect(
            name=name,
            measure=measure,
            n=n,
            settings=settings[name],
            note=_note(name, settings[name], factorials),
            clusters=sum(sample.n for sample in samples),
            **found.get((measure, name), {}),
        )
        for measure, name in product(MEASURES, EFFECTS)
    ]


def _interval_fields(interval: Interval) -> dict[str, Any]:
    return {"interval": interval.bounds, "interval_note": interval.note}


def _swap(
    measure: str,
    switch: str,
    samples: Sequence[Sample],
    contrasts: Sequence[Floats],
    corpora: Iterable[Sequence[Factorial]],
) -> Swap:
    """Build the test of a main effect: arms with the switch against the same arms without it, over all factorials.

    Args:
        measure: one of `MEASURES`.
        switch: one of `SWITCHES`.
        samples: the answers, one per corpus.
        contrasts: weights of their columns in the effect, shape (arms of all factorials,).
        corpora: the factorials of each corpus.
    """

    def statistic(*counts: Counts) -> Floats:
        parts = [MEASURES[measure](one) @ weights[:, None] for one, weights in zip(counts, contrasts, strict=True)]
        return np.stack(parts).sum(axis=0)

    sides = []
    for sample, weights, members in zip(samples, contrasts, corpora, strict=True):
        columns = _columns(members)
        # Settings in which an arm is missing have no weight and are left out.
        on = [(place, arm) for (place, arm), column in columns.items() if weights[column] > 0]
        off = [(place, _arm_name("", ARMS[arm].replace(switch, ""))) for place, arm in on]
        first, second = (np.array([columns[key] for key in keys], dtype=np.int64) for keys in (on, off))
        sides.append(SwapColumns(sample=sample, first=first, second=second))
    return Swap(sides=sides, statistic=statistic)


def _contributing_cases(
    switch: str, settings: Sequence[str], factorials: Sequence[Factorial]
) -> list[Sequence[Scored]]:
    """Return the cases of all arms that contribute to a main effect."""
    names = [_arm_name(on, setting) for setting in settings for on in _powerset(switch)]
    return [one.arms[arm] for one in factorials for arm in names]


def _unfavourable_factorials(switch: str, effect: float, factorials: Sequence[Factorial]) -> list[Factorial]:
    """Resolve the invalid answers of factorials against an effect: wrong in the better arms, right in the others."""
    return [
        replace(
            one,
            arms={
                arm: invalid_as_wrong(cases) if (switch in ARMS[arm]) == (effect >= 0) else invalid_as_right(cases)
                for arm, cases in one.arms.items()
            },
        )
        for one in factorials
    ]


def _answer_codes(factorials: Sequence[Factorial]) -> tuple[Codes, npt.NDArray[np.int64] | None]:
    """Encode the answers to all judgments of one corpus; also returns the cluster of each judgment.

    The codes have shape (n, arms of all factorials), with -1 where a backbone lacks a judgment.
    """
    columns: list[dict[str, Scored]] = []
    gold: dict[str, str] = {}
    for one in factorials:
        for cases in join_by_id([one.arms[arm] for arm in _arms(one)], where=f"effects, {one.backbone}"):
            columns.append(by_id(cases))
            for case in cases:
                if gold.setdefault(case.id, case.gold) != case.gold:
                    raise UserError(f"two gold outcomes for {case.id!r}", where="effects", cure="run all on one corpus")
    rows = {key: row for row, key in enumerate(sorted(gold))}
    answers = np.full((len(rows), len(columns)), -1, dtype=np.int8)
    for number, column in enumerate(columns):
        answers[[rows[key] for key in column], number] = codes(list(column.values()))
    # A cluster does not depend on the arm, so a row that names it overrides those that do not.
    clustered = {case.id: case for column in columns for case in column.values() if case.cluster}
    known = {key: case for column in columns for key, case in column.items()} | clustered
    return answers, clusters([known[key] for key in rows])


def _settings(name: str, factorials: Sequence[Factorial]) -> tuple[str, ...]:
    """Return the settings of the other switches for which every factorial has all arms of an effect."""
    others = [switch for switch in SWITCHES if switch not in name]
    every = (
        "".join(s for s, on in zip(others, used, strict=True) if on) for used in product((0, 1), repeat=len(others))
    )
    return tuple(setting for setting in every if not _missing(name, setting, factorials))


def _missing(name: str, setting: str, factorials: Sequence[Factorial]) -> set[str]:
    """Return the arms that an effect needs in one setting and that some factorial lacks."""
    needed = {_arm_name(on, setting) for on in _powerset(name)}
    return {arm for one in factorials for arm in needed if arm not in one.arms}


def _contrasts(factorials: Sequence[Factorial], settings: Mapping[str, Sequence[str]]) -> Floats:
    """Return the weights of the scores of a corpus in each effect, shape (arms of all factorials, effects)."""
    columns = _columns(factorials)
    weights = np.zeros((len(columns), len(settings)))
    for number, (name, used) in enumerate(settings.items()):
        switches = name.split(":")
        for place, setting, on in product(range(len(factorials)), used, _powerset(name)):
            sign = (-1) ** (len(switches) - len(on))
            share = len(factorials) * len(used) * 2 ** (len(switches) - 1)
            weights[columns[place, _arm_name(on, setting)], number] = sign / share
    return weights


def _columns(factorials: Sequence[Factorial]) -> dict[tuple[int, str], int]:
    """Map the index of a factorial and an arm to the column in the answers of the corpus."""
    every = ((place, arm) for place, one in enumerate(factorials) for arm in _arms(one))
    return {key: column for column, key in enumerate(every)}


def _arms(factorial: Factorial) -> list[str]:
    """Return the arms in the order of `ARMS`, so that results do not depend on the order of the input."""
    return [arm for arm in ARMS if arm in factorial.arms]


def _powerset(name: str) -> list[str]:
    switches = name.split(":")
    return ["".join(on) for size in range(len(switches) + 1) for on in combinations(switches, size)]


def _arm_name(on: str, setting: str) -> str:
    return next(arm for arm, switches in ARMS.items() if set(switches) == {*on, *setting})


def _note(name: str, used: Sequence[str], factorials: Sequence[Factorial]) -> str:
    others = len(SWITCHES) - len(name.split(":"))
    if len(used) == 2**others:
        return ""
    lacking = sorted({arm for arm in ARMS for one in factorials if arm not in one.arms}, key=list(ARMS).index)
    missing = f"missing arms: {', '.join(lacking)}"
    if not used:
        return f"not to be estimated; {missing}"
    named = ", ".join("/".join(setting) or "none" for setting in used)
    return f"only with these other switches on: {named}; {missing}"
