import json

import numpy as np
import pytest

from legalrr.report.compare import read_report
from legalrr.report.pooled_effects import pools
from legalrr.score.effects import ARMS

from .conftest import switched

GOLD = "AD" * 10


def whole(sweep, start=0, seed=0, arms=ARMS, stages=None, **changes):
    rng = np.random.default_rng(seed)
    for job, arm in enumerate(arms, start=start):
        answers = "".join(rng.choice(list("AD-"), size=len(GOLD), p=[0.55, 0.4, 0.05]))
        sweep.cell(job, arm, answers, gold=GOLD, stages={**switched(arm), **(stages or {})}, **changes)


def test_the_arms_of_a_group_are_its_factorial(sweep):
    whole(sweep)
    sweep.cell(90, "direct", GOLD, gold=GOLD)
    sweep.cell(91, "majority", "A" * 20, gold=GOLD, backbone="-")
    (pool,) = pools(read_report([sweep.folder]))
    assert pool.title == "specimen, roles: gold, tiny, conversation, strict"
    assert (pool.groups, pool.note) == ((0,), "")
    assert all(one.n == 20 and one.note == "" for one in pool.effects)


def test_backbones_are_pooled_on_their_corpus_and_corpora_together(sweep):
    whole(sweep)
    whole(sweep, 10, 1, backbone="other")
    whole(sweep, 20, 2, corpus="build", split="test")
    found = pools(read_report([sweep.folder]))
    assert [(pool.title, pool.groups) for pool in found[3:]] == [
        ("specimen, pooled over tiny, other", (0, 1)),
        ("pooled over specimen, build (test)", (0, 1, 2)),
    ]
    one, other, third, backbones, corpora = (pool.effects[0].estimate for pool in found)
    assert backbones == pytest.approx((one + other) / 2)
    assert corpora == pytest.approx((backbones + third) / 2)


def test_groups_under_different_settings_are_not_pooled(sweep):
    whole(sweep)
    whole(sweep, 10, 1, backbone="other", layout="study")
    assert [pool.groups for pool in pools(read_report([sweep.folder]))] == [(0,), (1,)]


def test_single_arms_have_no_pool_and_ambiguous_arms_are_left_out(sweep):
    whole(sweep, arms=("plain",), backbone="lone")
    whole(sweep, 10, 1, arms=("plain", "d", "c", "dc"))
    sweep.cell(20, "c", "A" * 20, gold=GOLD)
    (pool,) = pools(read_report([sweep.folder]))
    assert pool.note == "left out, as several cells of it answer differently: c"
    effect = next(one for one in pool.effects if one.name == "D")
    assert effect.settings == ("",)


def test_arms_are_placed_by_recorded_switches_not_by_name(sweep):
    for job, (name, arm) in enumerate({"mine": "plain", "also mine": "d"}.items()):
        sweep.cell(job, name, stages=switched(arm))
    sweep.cell(2, "c", stages={**switched("c"), "annotate": {"fields": {"define": False, "direct": False}}})
    sweep.cell(3, "r", stages=switched("r") | {"restructure": {"fields": {"order": "role", "content": "all"}}})
    report = read_report([sweep.folder])
    assert {row.setup.arm: row.setup.factors for row in report.groups[0].rows} == {
        **{"mine": "", "also mine": "D"},
        **{"c": None, "r": None},
    }
    (pool,) = pools(report)
    assert {one.name for one in pool.effects if one.estimate is not None} == {"D"}


def test_arms_on_different_judgments_leave_a_note(sweep):
    whole(sweep, arms=("plain",))
    sweep.cell(5, "d", "AD", gold="AD")
    (pool,) = pools(read_report([sweep.folder]))
    assert pool.effects == ()
    assert pool.note.startswith("judgments that not all of the 2 arms have: case-10")


def test_runs_of_one_experiment_are_pooled_and_numbered(sweep):
    whole(sweep)
    for job, arm in enumerate(ARMS, start=10):
        stages = {**switched(arm), "backbone": {"fields": {"repetition": 2}}}
        path = sweep.cell(job, arm, "AD" * 5 + "DA" * 5, gold=GOLD, stages=stages) / "run.json"
        run = json.loads(path.read_text())
        path.write_text(json.dumps({**run, "cell": {**run["cell"], "repetition": 2}}))
    assert [pool.title for pool in pools(read_report([sweep.folder]))] == [
        "specimen, roles: gold, tiny, conversation, strict",
        "specimen, roles: gold, tiny, run 2, conversation, strict",
        "specimen, pooled over tiny, tiny (run 2)",
    ]


def test_runs_that_differ_by_their_seeds_are_counted(sweep):
    for seed in (4, 7):
        stages = {"backbone": {"class": "x", "fields": {"seed": seed}}}
        whole(sweep, 10 * seed, seed, arms=("plain", "d"), stages=stages)
    assert [pool.title for pool in pools(read_report([sweep.folder]))] == [
        "specimen, roles: gold, tiny, conversation, strict",
        "specimen, roles: gold, tiny, run 2, conversation, strict",
        "specimen, pooled over tiny, tiny (run 2)",
    ]
