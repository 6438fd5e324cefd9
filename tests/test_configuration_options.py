"""A wrong choice or option is refused in one line with its cure, before any work."""

from pathlib import Path

import pytest

from legalrr.cli import main
from legalrr.configuration import compose, compose_cells, require_joined
from legalrr.errors import UserError
from legalrr.paths import root
from legalrr.run.pipeline import build_pipeline

CASES = [
    ("arm=D/R/C", "arm=D/R/C: no arm 'D/R/C' (did you mean arm=drc?)"),
    ("arm=d+r", "arm=d+r: no arm 'd+r' (did you mean arm=dr?)"),
    ("arm=none", "arm=none: no arm 'none' (did you mean arm=plain?)"),
    ("arm=majorty", "arm=majorty: no arm 'majorty' (did you mean arm=majority?)"),
    ("arm=xyzzy", "arm=xyzzy: no arm 'xyzzy' (the choices are c, d, dc, "),
    ("corpus=iltur", "corpus=iltur: no corpus 'iltur' (did you mean corpus=iltur_cjpe?)"),
    (
        "corpus=./my/folder",
        "corpus=./my/folder: no corpus './my/folder' (judgments of your own: corpus=own_text corpus.folder=./my/folder",
    ),
    (
        "backbone=/models/mine",
        "backbone=/models/mine: no backbone '/models/mine' (a model of your own: backbone=local "
        "backbone.model=/models/mine)",
    ),
    ("segment=gould", "segment=gould: no segment 'gould' (did you mean segment=gold?)"),
    ("experiment=papers", "experiment=papers: no experiment 'papers' (did you mean experiment=paper?)"),
    ("model=smollm2", "model=smollm2: no option model (did you mean backbone=smollm2?)"),
    ("dataset=build", "dataset=build: no option dataset (did you mean corpus=build?)"),
    ("model=/models/mine", "model=/models/mine: no option model (the option is backbone: a model of your own: "),
    ("backbon=echo", "backbon=echo: no option backbon (did you mean backbone=echo?)"),
    ("limt=3", "limt=3: no option limt (did you mean limit=3?)"),
    ("corpus.fold=x", "corpus.fold=x: no option corpus.fold (did you mean corpus.folder=x?)"),
    ("answer=3", "answer=3: no option answer (the options are limit, seed, "),
    (
        "annotate.tokns.answer=3",
        "annotate.tokns.answer=3: no option annotate.tokns.answer (did you mean annotate.tokens.answer=3?)",
    ),
    ("corpus.zzz=3", "corpus.zzz=3: no option corpus.zzz (the options of corpus are name, folder, "),
    ("engine.batch=true", "engine.batch=true: no option engine.batch (did you mean backbone.batch=true?)"),
    ("limit=abc", "limit: Value 'abc' of type 'str' could not be converted to Integer (give a whole number)"),
    ("seed=1.5", "seed: Value '1.5' of type 'float' could not be converted to Integer (give a whole number)"),
    ("corpus=own_text", "corpus: corpus.folder has no value (set corpus.folder=VALUE)"),
    ("backbone=local", "backbone.model has no value (set backbone.model=VALUE)"),
    ("arm=c,", "arm=c,: mismatched input "),
    ("arm=c,d", "arm=c,d: several values (add -m to run each, or write a list as [VALUE,VALUE])"),
]


@pytest.mark.parametrize(("override", "said"), CASES, ids=[case[0] for case in CASES])
def test_a_wrong_option_is_refused_with_its_cure(override: str, said: str) -> None:
    with pytest.raises(UserError) as failed:
        build_pipeline(compose(overrides=["backbone=echo", override]))
    assert str(failed.value).startswith(said)


def test_a_missing_folder_is_named() -> None:
    pipeline = build_pipeline(compose(overrides=["corpus=own_text", "corpus.folder=nowhere"]))
    with pytest.raises(UserError, match=r"^nowhere: no such file or folder \(correct the path"):
        list(pipeline.corpus.read(None))


def test_the_options_are_those_of_the_other_choices() -> None:
    with pytest.raises(UserError, match=r"no option corpus\.party_columm \(did you mean corpus\.party_column=x\?\)"):
        compose(overrides=["corpus=own_table", "corpus.party_columm=x"])


@pytest.mark.parametrize(
    ("arguments", "where", "write"),
    [
        (["limit", "=", "4"], "limit = 4", "limit=4"),
        (["limit", "=4"], "limit =4", "limit=4"),
        (["arm=c", "limit=", "4", "seed=1"], "limit= 4", "limit=4"),
        (["-m", "arm=plain,", "d,", "r", "seed=1"], "arm=plain, d, r", "arm=plain,d,r"),
    ],
)
def test_spaces_in_an_override_are_named(arguments: list[str], where: str, write: str) -> None:
    with pytest.raises(UserError) as failed:
        require_joined(arguments)
    assert str(failed.value) == f"{where}: an override with spaces (write {write})"


@pytest.mark.parametrize(
    "arguments",
    [
        ["arm=c", "limit=4"],
        ["-m", "arm=plain,d", "--cfg", "job"],
        ["corpus.labels={0: dismissed, 1: allowed}", "corpus.party=", "--cfg", "job"],
        ["corpus.folder=a = b", "~measure"],
        [],
    ],
)
def test_other_arguments_are_left_to_hydra(arguments: list[str]) -> None:
    require_joined(arguments)


@pytest.mark.parametrize("arguments", [["limit", "=", "4"], ["arm=D/R/C"], ["-m", "arm=plain,D/R/C"], ["model=x"]])
def test_the_command_line_prints_one_line_before_any_work(run_hydra, tmp_path: Path, arguments: list[str]) -> None:
    status, out, err = run_hydra(main, "legalrr", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("legalrr: ")
    assert err.count("\n") == 1
    assert not [*tmp_path.rglob("cache"), *tmp_path.rglob("run.json")]


def test_a_choice_of_the_user_is_near_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "arm").mkdir()
    text = (root() / "conf" / "arm" / "plain.yaml").read_text("utf-8")
    (tmp_path / "arm" / "mine_own.yaml").write_text(text.replace("label: none", "label: R+X"), "utf-8")
    monkeypatch.setenv("LEGALRR_CONF", str(tmp_path))
    for name in ("mine-own", "R/X"):
        with pytest.raises(UserError, match="did you mean arm=mine_own"):
            compose(overrides=[f"arm={name}"])


def test_the_cells_of_an_experiment_are_composed_without_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = compose_cells(["experiment=paper", "arm=plain,d", "limit=range(1,3)"])
    assert [(config.arm.id, config.limit) for _, config in cells] == [("plain", 1), ("plain", 2), ("d", 1), ("d", 2)]
    assert cells[0][0] == ["backbone=smollm2", "corpus=specimen", "arm=plain", "experiment=paper", "limit=1"]
    ((own, config),) = compose_cells(["arm=drc"])
    assert (own, config.arm.id) == (["arm=drc"], "drc")
    assert not list(tmp_path.iterdir())


def test_a_wrong_choice_in_a_sweep_is_refused_as_in_a_run() -> None:
    with pytest.raises(UserError, match=r"^arm=majorty: no arm 'majorty' \(did you mean arm=majority\?\)"):
        compose_cells(["arm=plain,majorty"])
