"""The command `legalrr prime`: output, and one line for invalid input."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from legalrr.cli import main
from legalrr.errors import UserError
from legalrr.hybrids.settings import PrimeSettings
from legalrr.paths import root
from legalrr.stage import from_values

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(run_hydra: Run) -> Run:
    """Run the command in a folder of its own; returns exit status, standard output and standard error."""
    return partial(run_hydra, main, "legalrr", "prime")


@pytest.fixture
def short(four: Path) -> list[str]:
    return [
        *("backbone=local", f"backbone.model={four}", "backbone.name=four", "backbone.gka.layers=[2]"),
        *("window=32", "minutes=null", "align.steps=2", "align.fit=1", "distil.steps=2", "held_out.judgments=1"),
        *("held_out.share=0.3", "backbone.gka.num_iter=3", "backbone.gka.chunk_size=16", "backbone.threads=1"),
    ]


def test_priming_prints_perplexities_and_the_path_of_the_model(run: Run, short: list[str], tmp_path: Path) -> None:
    status, out, _ = run(*short)
    assert status == 0
    assert "held-out perplexity: before " in out
    assert "model: runs/prime/four/model" in out
    card = (tmp_path / "runs/prime/four/model/card.json").read_text()
    assert '"licence": "Apache-2.0, as this project"' in card
    assert "legalrr prime backbone=local" in card


def test_select_prints_the_order_of_layers(run: Run, short: list[str], tmp_path: Path) -> None:
    status, out, _ = run(*short, "--select")
    assert status == 0
    assert "least important first:" in out
    assert (tmp_path / "runs/prime/four/importance/importance.json").is_file()


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("+windoww=3", "windoww.*the options are .*window"),
        ("window=one", "config: .*one"),
        ("window=1", "window: window is 1"),
        ("align.rate=0", r"align\.rate is 0"),
        ("align.steps=-1", r"align\.steps: steps is -1 \(give at least 0\)"),
        ("distil.slice=0", r"distil\.slice: slice is 0 \(give at least 1\)"),
        ("align.share=1.5", r"align\.share is 1\.5"),
        ("minutes=null", r"align\.steps: no time or step limit"),
        ("precision=fp16", "precision: unknown precision 'fp16'"),
        ("backbone=echo", "backbone"),
        ("+corpus.no_such=1", "corpus: .*no_such"),
        ("no_such=1", "no_such"),
    ],
)
def test_an_invalid_option_gives_one_line_and_status_2(run: Run, override: str, named: str) -> None:
    status, _, err = run(override)
    assert status == 2
    (line,) = [line for line in err.splitlines() if line.startswith("legalrr prime: ")]
    assert re.search(named, line)


def test_an_interruption_says_how_to_resume(run: Run, short: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("legalrr.hybrids.priming.prime", interrupt)
    status, _, err = run(*short)
    assert status == 130
    assert "run the same command again to resume" in err


def test_prime_yaml_lists_every_option_with_its_default() -> None:
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        config = compose("prime")
    own = {key: value for key, value in config.items() if key not in ("corpus", "backbone")}
    assert set(own) == set(PrimeSettings.__dataclass_fields__)
    for name in ("held_out", "align", "distil", "checkpoint"):
        default = getattr(PrimeSettings(), name)
        assert dict(own[name]) == {key: getattr(default, key) for key in default.__dataclass_fields__}


def test_select_needs_no_steps_for_distillation() -> None:
    values = {"minutes": None, "align": {"steps": 3}}
    assert from_values(PrimeSettings, values | {"select": True}).align.steps == 3
    with pytest.raises(UserError, match=r"distil\.steps"):
        from_values(PrimeSettings, values)
