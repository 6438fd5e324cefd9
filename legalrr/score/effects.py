"""What the switches D, R and C do: the eight arms are a 2 x 2 x 2 factorial on the same judgments.

An effect is a contrast of the arms' scores y, in the field's scaling (Box, Hunter and Hunter, Statistics for
Experimenters, ch. 5): with s = +1 where a switch is on and -1 where it is off,

    D      = mean of s_D y over the 8 arms, doubled: the mean with D less the mean without
    D:R    = mean of s_D s_R y, doubled: half of what R adds to the effect of D; as large for D on R as for R on D
    D:R:C  = mean of s_D s_R s_C y, doubled

An effect is estimated within each setting of the other switches and the mean taken over those settings. Where arms are
missing, only the settings remain that have all their arms, and `Effect.settings` names them: of the arms None, D, C,
D/C the effect of D is that without R, and R has none.

Intervals are jackknife intervals (`legalrr.score.intervals`) over judgments, each left out with all that was answered
about it by all arms and backbones. They are not adjusted for the number of effects.

Three effects are tested (`CONFIRMATORY`): D, R and C on macro-F1. If a switch did nothing, the answers of a judgment
with it and without it could as well be swapped, over all settings of the others, all backbones and runs at once
(`legalrr.score.permutation`). Holm's correction runs over the three. An effect counts as shown only if it also stands
with the invalid answers against it (`legalrr.score.invalid_bounds`). All else is exploration, with an interval and no
p.
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
from legalrr.score.intervals import Interval, Sample, jackknife_of_counts, ruled
from legalrr.score.invalid_bounds import Bound, has_invalid, if_right, if_wrong, p_unfavourable, stands
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
from legalrr.score.significance import holm, joined

SWITCHES = ("D", "R", "C")
ARMS: Mapping[str, str] = MappingProxyType(
    {"plain": "", "d": "D", "r": "R", "c": "C", "dr": "DR", "dc": "DC", "rc": "RC", "drc": "DRC"}
)
"""Arm -> the switches that are on in it."""
EFFECTS = tuple(":".join(names) for size in (1, 2, 3) for names in combinations(SWITCHES, size))
"""D, R, C, D:R, D:C, R:C, D:R:C."""
CONFIRMATORY = tuple(("macro_f1", switch) for switch in SWITCHES)
"""Measure and name of the effects that are tested; the others are exploration."""
MEASURES: Mapping[str, Callable[[Counts], Floats]] = MappingProxyType(
    {"macro_f1": macro_f1_of_counts, "accuracy": accuracy_of_counts, "yes_rate": yes_rate_of_counts}
)
"""Measure -> how it is computed from counts of codes."""


@dataclass(frozen=True, kw_only=True)
class Factorial:
    """The arms that one backbone answered about one set of judgments."""

    corpus: str
    """What its judgments belong to: factorials of one corpus share the judgments that have the same id."""
    backbone: str
    """Who answered; for messages."""
    arms: Mapping[str, Sequence[Scored]]
    """Arm (a key of `ARMS`) -> its cases."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One effect on one measure."""

    name: str
    """One of `EFFECTS`."""
    measure: str
    """One of `MEASURES`."""
    n: int
    """Judgments."""
    settings: tuple[str, ...]
    """Settings of the other switches over which it is the mean, each as the switches that are on ("" for none)."""
    note: str
    """What of the factorial is missing; "" where it is whole."""
    estimate: float | None = None
    """The effect; None where arms that it needs are missing."""
    interval: tuple[float, float] | None = None
    """Its jackknife interval."""
    interval_note: str | None = None
    """Why an estimate has no interval, or that the test overrules it (`legalrr.score.significance`); else None."""
    p_permutation: float | None = None
    """Two-sided permutation p; None for effects that are not tested."""
    p_holm: float | None = None
    """The same, adjusted over the effects of `CONFIRMATORY`; None for effects that are not tested."""
    smallest_detectable: float | None = None
    """Smallest true effect that the test would have found with power 0.8 (`legalrr.score.detectable`); None for effects
    that are not tested, and where it finds none at all."""
    clusters: int = 0
    """Units of interval and test: judgments, those of a cluster of near-duplicates as one."""
    bound: float | None = None
    """The effect with the invalid answers against it (`legalrr.score.invalid_bounds`); None for effects that are not
    tested, and where none of their answers is invalid."""
    p_holm_bound: float | None = None
    """As `p_holm`, with the permutation p under this bound."""

    @property
    def shown(self) -> bool:
        """Whether the effect is significant, and stays so whatever its invalid answers were."""
        return stands(self.p_holm, self.p_holm_bound)


def effects(factorials: Sequence[Factorial], *, scorer: PredictionScorer) -> list[Effect]:
    """Main effects and interactions on every measure, of one factorial or pooled over several.

    Pooled: the score of each arm is computed per factorial; within a corpus the effects are averaged over backbones,
    and corpora are weighted by their judgments. An effect then rests on the settings that every factorial has.

    Args:
        factorials: what to pool; one for its own effects. Each has at least one arm.
        scorer: confidence of the intervals, permutations and seed of the tests.

    Returns:
        All effects on the first measure, then on the next; those that cannot be estimated as well, with a note.

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
    answers, groups = zip(*(_answers(members) for members in corpora.values()), strict=True)
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
        spreads = dict(zip(product(MEASURES, able), intervals, strict=True))
        for (key, spread), value in zip(spreads.items(), values, strict=True):
            found[key] = {"estimate": float(value), **_bounds(spread)}
        tested = [(measure, name) for measure, name in CONFIRMATORY if name in able]
        unfavourable = []
        for measure, name in tested:
            own = [contrast[:, able.index(name)] for contrast in contrasts]
            swap = _swap(measure, name, samples, own, corpora.values())
            effect = Bound.of(swap, scorer=scorer)
            spread = ruled(spreads[measure, name], effect.p_permutation, scorer.confidence)
            told = {"p_permutation": effect.p_permutation, "smallest_detectable": Population(swap=swap).smallest()}
            found[measure, name] |= {**_bounds(spread), **told}
            bound = None
            if has_invalid(*_taking_part(name, settings[name], factorials)):
                against = [_against(name, effect.difference, members) for members in corpora.values()]
                filled = [Sample.of(*_answers(members)) for members in against]
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


def _bounds(spread: Interval) -> dict[str, Any]:
    return {"interval": spread.bounds, "interval_note": spread.note}


def _swap(
    measure: str,
    switch: str,
    samples: Sequence[Sample],
    contrasts: Sequence[Floats],
    corpora: Iterable[Sequence[Factorial]],
) -> Swap:
    """The test of a main effect: arms with the switch against the same arms without it, over all factorials.

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
        # Settings in which an arm is missing have no weight, and take no part.
        on = [(place, arm) for (place, arm), column in columns.items() if weights[column] > 0]
        off = [(place, _arm("", ARMS[arm].replace(switch, ""))) for place, arm in on]
        first, second = (np.array([columns[key] for key in keys], dtype=np.int64) for keys in (on, off))
        sides.append(SwapColumns(sample=sample, first=first, second=second))
    return Swap(sides=sides, statistic=statistic)


def _taking_part(switch: str, settings: Sequence[str], factorials: Sequence[Factorial]) -> list[Sequence[Scored]]:
    """The cases of all arms on which a main effect rests."""
    names = [_arm(on, setting) for setting in settings for on in _powerset(switch)]
    return [one.arms[arm] for one in factorials for arm in names]


def _against(switch: str, effect: float, factorials: Sequence[Factorial]) -> list[Factorial]:
    """The factorials with the invalid answers against an effect: wrong in the arms that it says are better."""
    return [
        replace(
            one,
            arms={
                arm: if_wrong(cases) if (switch in ARMS[arm]) == (effect >= 0) else if_right(cases)
                for arm, cases in one.arms.items()
            },
        )
        for one in factorials
    ]


def _answers(factorials: Sequence[Factorial]) -> tuple[Codes, npt.NDArray[np.int64] | None]:
    """Codes of all judgments of one corpus, shape (n, arms of all factorials), -1 where a backbone lacks a judgment;
    and the cluster of each judgment."""
    columns: list[dict[str, Scored]] = []
    gold: dict[str, str] = {}
    for one in factorials:
        for cases in joined([one.arms[arm] for arm in _arms(one)], where=f"effects, {one.backbone}"):
            columns.append(by_id(cases))
            for case in cases:
                if gold.setdefault(case.id, case.gold) != case.gold:
                    raise UserError(f"two gold outcomes for {case.id!r}", where="effects", cure="run all on one corpus")
    rows = {key: row for row, key in enumerate(sorted(gold))}
    answers = np.full((len(rows), len(columns)), -1, dtype=np.int8)
    for number, column in enumerate(columns):
        answers[[rows[key] for key in column], number] = codes(list(column.values()))
    # Near-duplicates are so whatever was asked about them: any row that tells of a cluster tells it for all.
    told = {case.id: case for column in columns for case in column.values() if case.cluster}
    known = {key: case for column in columns for key, case in column.items()} | told
    return answers, clusters([known[key] for key in rows])


def _settings(name: str, factorials: Sequence[Factorial]) -> tuple[str, ...]:
    """The settings of the other switches in which every factorial has all arms of an effect."""
    others = [switch for switch in SWITCHES if switch not in name]
    every = (
        "".join(s for s, on in zip(others, used, strict=True) if on) for used in product((0, 1), repeat=len(others))
    )
    return tuple(setting for setting in every if not _missing(name, setting, factorials))


def _missing(name: str, setting: str, factorials: Sequence[Factorial]) -> set[str]:
    """Arms that an effect needs in one setting and that a factorial lacks."""
    needed = {_arm(on, setting) for on in _powerset(name)}
    return {arm for one in factorials for arm in needed if arm not in one.arms}


def _contrasts(factorials: Sequence[Factorial], settings: Mapping[str, Sequence[str]]) -> Floats:
    """Weights that turn the scores of all arms of a corpus into effects, shape (arms of all factorials, effects)."""
    columns = _columns(factorials)
    weights = np.zeros((len(columns), len(settings)))
    for number, (name, used) in enumerate(settings.items()):
        switches = name.split(":")
        for place, setting, on in product(range(len(factorials)), used, _powerset(name)):
            sign = (-1) ** (len(switches) - len(on))
            share = len(factorials) * len(used) * 2 ** (len(switches) - 1)
            weights[columns[place, _arm(on, setting)], number] = sign / share
    return weights


def _columns(factorials: Sequence[Factorial]) -> dict[tuple[int, str], int]:
    """Place of a factorial and arm -> column of the answers of its corpus."""
    every = ((place, arm) for place, one in enumerate(factorials) for arm in _arms(one))
    return {key: column for column, key in enumerate(every)}


def _arms(factorial: Factorial) -> list[str]:
    """Its arms in the order of `ARMS`, so that the same seed draws the same resamples in whatever order they came."""
    return [arm for arm in ARMS if arm in factorial.arms]


def _powerset(name: str) -> list[str]:
    switches = name.split(":")
    return ["".join(on) for size in range(len(switches) + 1) for on in combinations(switches, size)]


def _arm(on: str, setting: str) -> str:
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
