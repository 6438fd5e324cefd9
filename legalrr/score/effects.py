"""What the switches D, R and C do: the eight arms are a 2 x 2 x 2 factorial on the same judgments.

An effect is a contrast of the arms' scores y, in the field's scaling (Box, Hunter and Hunter, Statistics for
Experimenters, ch. 5): with s = +1 where a switch is on and -1 where it is off,

    D      = mean of s_D y over the 8 arms, doubled: the mean with D less the mean without
    D:R    = mean of s_D s_R y, doubled: half of what R adds to the effect of D; as large for D on R as for R on D
    D:R:C  = mean of s_D s_R s_C y, doubled

An effect is estimated within each setting of the other switches and the mean taken over those settings. Where arms are
missing, only the settings remain that have all their arms, and `Effect.settings` names them: of the arms None, D, C,
D/C the effect of D is that without R, and R has none.

Intervals are BCa bootstrap intervals over clusters, a cluster being a judgment with all that was answered about it: one
resample of the judgments goes through all arms and all backbones. Judgments of different corpora are resampled apart.
They are not adjusted for the number of effects.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from types import MappingProxyType
from typing import Any

import numpy as np

from legalrr.errors import UserError
from legalrr.records import Scored, by_id
from legalrr.score.confusion import (
    Codes,
    Counts,
    Floats,
    accuracy_of_counts,
    codes,
    macro_f1_of_counts,
    yes_rate_of_counts,
)
from legalrr.score.interval import Sample, bca_of_counts
from legalrr.score.prediction import PredictionScorer
from legalrr.score.significance import joined, reach

SWITCHES = ("D", "R", "C")
ARMS: Mapping[str, str] = MappingProxyType(
    {"plain": "", "d": "D", "r": "R", "c": "C", "dr": "DR", "dc": "DC", "rc": "RC", "drc": "DRC"}
)
"""Arm -> the switches that are on in it."""
EFFECTS = tuple(":".join(names) for size in (1, 2, 3) for names in combinations(SWITCHES, size))
"""D, R, C, D:R, D:C, R:C, D:R:C."""
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
    """Judgments, the clusters that were resampled."""
    settings: tuple[str, ...]
    """Settings of the other switches over which it is the mean, each as the switches that are on ("" for none)."""
    note: str
    """What of the factorial is missing; "" where it is whole."""
    estimate: float | None = None
    """The effect; None where arms that it needs are missing."""
    interval: tuple[float, float] | None = None
    """Its BCa interval."""
    interval_note: str | None = None
    """Why an estimate has no interval; None where there is one, or no estimate."""
    smallest_detectable: float | None = None
    """Size of a true effect that a two-sided 5 % test would have found with power 0.8, from the bootstrap standard
    error; None where that is 0 or undefined."""


def effects(factorials: Sequence[Factorial], *, scorer: PredictionScorer) -> list[Effect]:
    """Main effects and interactions on every measure, of one factorial or pooled over several.

    Pooled: the score of each arm is computed per factorial; within a corpus the effects are averaged over backbones,
    and corpora are weighted by their judgments. An effect then rests on the settings that every factorial has.

    Args:
        factorials: what to pool; one for its own effects. Each has at least one arm.
        scorer: confidence, resamples and seed of the intervals.

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
    answers = [_answers(members) for members in corpora.values()]
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

    found: dict[tuple[str, str], dict[str, Any]] = {}
    if able:
        samples = [Sample.of(one) for one in answers]
        values = statistic(*(sample.counts(sample.sizes[None]) for sample in samples))[0]
        intervals = bca_of_counts(
            samples, statistic, confidence=scorer.confidence, resamples=scorer.resamples, seed=scorer.seed
        )
        for key, value, spread in zip(product(MEASURES, able), values, intervals, strict=True):
            found[key] = {
                "estimate": float(value),
                "interval": spread.bounds,
                "interval_note": spread.note,
                "smallest_detectable": reach() * spread.standard_error if spread.standard_error else None,
            }
    return [
        Effect(
            name=name,
            measure=measure,
            n=n,
            settings=settings[name],
            note=_note(name, settings[name], factorials),
            **found.get((measure, name), {}),
        )
        for measure, name in product(MEASURES, EFFECTS)
    ]


def _answers(factorials: Sequence[Factorial]) -> Codes:
    """Codes of all judgments of one corpus, shape (n, arms of all factorials); -1 where a backbone lacks a judgment."""
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
    return answers


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
    columns = {
        (id(one), arm): row for row, (one, arm) in enumerate((one, arm) for one in factorials for arm in _arms(one))
    }
    weights = np.zeros((len(columns), len(settings)))
    for number, (name, used) in enumerate(settings.items()):
        switches = name.split(":")
        for one, setting, on in product(factorials, used, _powerset(name)):
            sign = (-1) ** (len(switches) - len(on))
            share = len(factorials) * len(used) * 2 ** (len(switches) - 1)
            weights[columns[id(one), _arm(on, setting)], number] = sign / share
    return weights


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
