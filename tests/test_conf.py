"""Every choice in conf/ composes, builds, and can be overridden field by field."""

import csv
import dataclasses
import json
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from legalrr.backbones.engine_choice import PRESETS
from legalrr.configuration import split_sweep
from legalrr.errors import UserError
from legalrr.hub import HUB_ID
from legalrr.paths import root
from legalrr.run.pipeline import MEASURE, STAGE_TYPES, WORKERS, Pipeline, build_pipeline
from legalrr.stage import META, identity
from legalrr.tables import NULL_WORDS

CONF = root() / "conf"
CHOICES = sorted(
    (folder.name, file.stem) for folder in CONF.iterdir() if folder.is_dir() for file in folder.glob("*.yaml")
)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
# Options that a user must give, such as a local path.
NEEDED = {
    ("backbone", "local"): ["backbone.model=/models/mine", "backbone.name=mine"],
    ("backbone", "openai_local"): ["backbone.model=mine"],
    ("engine", "server"): ["backbone=local", "backbone.model=mine"],
    ("backbone", "vllm_local"): ["backbone.model=/models/mine", "backbone.name=mine"],
    ("corpus", "own_text"): ["corpus.folder=judgments"],
    ("corpus", "own_marked"): ["corpus.folder=judgments"],
    ("corpus", "own_pdf"): ["corpus.folder=judgments"],
    ("corpus", "own_dataset"): ["corpus.folder=saved"],
    ("corpus", "own_docbin"): ["corpus.file=roles.spacy"],
    ("corpus", "own_label_studio"): ["corpus.files={mine: tasks.json}"],
    ("corpus", "own_table"): ["+corpus.files.test=mine.csv"],
    ("segment", "adapted"): ["segment.model=mine.safetensors"],
    ("segment", "adapted_seven"): ["segment.model=mine.safetensors"],
}
# Identities (first 16 digits) of the stages that a choice changes. Stored results are found by them: they change only
# with the VERSION of a stage that computes something else.
IDENTITIES = json.loads(Path(__file__).with_name("identities.json").read_text(encoding="ascii"))


@cache
def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def built(*overrides: str) -> Pipeline:
    return build_pipeline(composed(*overrides))


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes_and_builds(group: str, choice: str) -> None:
    needed = NEEDED.get((group, choice), [])
    node = composed(f"{group}={choice}", *needed)[group] if group in ("backbone", "corpus") else {}
    if node.get("revision") == "main" and HUB_ID.fullmatch(node.get("hub") or node.model):
        # The hub would be asked for the commit of a branch.
        needed = [*needed, f"{group}.revision={COMMIT}"]
    pipeline = built(f"{group}={choice}", *needed)
    assert set(pipeline.stages()) == set(STAGE_TYPES)
    if group in {*STAGE_TYPES, MEASURE, "arm"}:
        stages = pipeline.stages() | ({} if pipeline.measures is None else {MEASURE: pipeline.measures})
        digests = {name: identity(stage)[:16] for name, stage in stages.items()}
        assert digests == IDENTITIES["default"] | IDENTITIES[f"{group}={choice}"]


@pytest.mark.parametrize(
    ("group", "choice"), [c for c in CHOICES if c[0] in {*STAGE_TYPES, MEASURE, WORKERS, "engine"}]
)
def test_every_field_of_a_stage_stands_in_its_yaml(group: str, choice: str) -> None:
    node = composed(f"{group}={choice}", *NEEDED.get((group, choice), []))["backbone" if group == "engine" else group]
    module, _, name = node["_target_"].rpartition(".")
    fields = {f.name for f in dataclasses.fields(getattr(import_module(module), name))}
    assert set(node) - {"_target_", META, PRESETS} == fields


@pytest.mark.parametrize("stage", sorted(STAGE_TYPES))
def test_a_typo_in_a_stage_is_refused_by_name(stage: str) -> None:
    with pytest.raises(UserError, match=rf"^{stage}: .*no_such_field"):
        built(f"+{stage}.no_such_field=1")


def test_a_typo_outside_the_stages_is_named() -> None:
    with pytest.raises(UserError, match=r"limitt.*the options are .*limit"):
        built("+limitt=3")


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("annotate.define=maybe", "annotate: .*maybe"),
        ("limit=few", "^limit: .*few"),
        ("annotate.tokens.answer=0", "annotate.tokens.answer"),
        ("restructure.order=random", "restructure.order"),
        ("restructure.budget=-1", "restructure.budget"),
        ("limit=0", "limit"),
        ("arm.family=other", "arm.family"),
        ("segment._target_=legalrr.segment.no_such.Thing", "segment: cannot import"),
        ("segment._target_=legalrr.verdict.PatternVerdictReader", "segment"),
    ],
)
def test_a_wrong_value_names_its_option(override: str, named: str) -> None:
    with pytest.raises(UserError, match=named):
        built(override)


def test_compared_answers_reject_the_study_reading() -> None:
    with pytest.raises(UserError, match=r"verdict\.reading"):
        built("arm=direct_compare", "verdict=study")
    assert built("arm=direct_choose", "verdict=study").verdict.reading == "study"


@pytest.mark.parametrize("engine", ["local", "vllm"])
def test_a_repetition_samples_with_another_seed(engine: str) -> None:
    drawn = (
        "backbone=qwen3_vl_8b",
        f"engine={engine}",
        f"backbone.revision={COMMIT}",
        "backbone.decoding=card",
        "backbone.seed=5",
    )
    seeds = [built(*drawn, f"repetition={number}").backbone.seed for number in (1, 2, 5)]  # type: ignore[attr-defined]
    assert seeds == [5, 6, 9]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["repetition=2"], r"^repetition=2: greedy answers are identical in every repetition \(use .*decoding=card"),
        (["repetition=2", "backbone=echo", "arm=direct_compare"], "^repetition=2: compared answers are not sampled"),
        (["repetition=0"], "^repetition: repetition=0"),
    ],
)
def test_a_repetition_without_sampling_raises(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        built(*overrides)


def test_a_baseline_is_the_same_in_every_repetition() -> None:
    one, other = (built("arm=tfidf_lr", f"repetition={number}") for number in (1, 2))
    assert one.described() == other.described()


def test_the_eight_arms_are_the_eight_combinations() -> None:
    switches = set()
    for arm in ("plain", "d", "r", "c", "dr", "dc", "rc", "drc"):
        stages = built(f"arm={arm}").stages()
        switches.add((stages["annotate"].define, stages["annotate"].chain, stages["restructure"].order == "role"))
    assert len(switches) == 8


def test_the_experiment_of_the_study_has_its_models_data_sets_and_rules() -> None:
    cells = [dict(one.split("=") for one in cell) for cell in split_sweep(["experiment=study"])]
    assert len(cells) == 3 * 2 * 8 + 5 * 2 * 8 + 3 * 4
    runs: dict[str, set[tuple[str, str]]] = {}
    for cell in cells:
        runs.setdefault(cell["backbone"], set()).add((cell["corpus"], cell.get("repetition", "1")))
    greedy = {(corpus, "1") for corpus in ("build", "marro", "predex")}
    local = dict.fromkeys(("llama_3_1_8b", "mistral_7b", "phi_3_mini_128k"), greedy)
    assert runs == local | {"o3_mini": {(corpus, str(run)) for corpus in ("build", "marro") for run in range(1, 6)}}
    # The study did not reorganise the judgments of PredEx, which have no roles.
    predex = {(cell["arm"], cell["segment"]) for cell in cells if cell["corpus"] == "predex"}
    assert predex == {(arm, "crf") for arm in ("plain", "c", "d", "dc")}
    stages = built("experiment=study").stages()
    assert (stages["annotate"].layout, stages["verdict"].reading) == ("study", "study")
    assert not stages["restructure"].hide_verdicts
    for backbone in local:
        assert composed("experiment=study", f"backbone={backbone}").backbone.decoding == "greedy"


def test_the_printed_figures_stand_beside_the_corpora_of_the_study() -> None:
    with (root() / "data/published/khatri2025_datasets.csv").open(encoding="utf-8") as file:
        printed = {row["corpus"] for row in csv.DictReader(file)}
    ran = {
        one.removeprefix("corpus=") for cell in split_sweep(["experiment=study"]) for one in cell if "corpus=" in one
    }
    assert ran == printed


def test_the_command_line_overrides_an_experiment_which_sets_no_stage_fields() -> None:
    assert built("experiment=quickstart").settings.limit == 16
    assert built("experiment=quickstart", "limit=4").settings.limit == 4
    assert built("experiment=leakage").settings.reference == "probe_shown"


def test_the_yaml_files_are_in_the_folder_of_the_package() -> None:
    assert (Path(CONF) / "config.yaml").is_file()


def test_no_label_of_an_arm_is_a_null_word() -> None:
    for name in (file.stem for file in (CONF / "arm").glob("*.yaml")):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            label = compose("config", overrides=[f"arm={name}"]).arm.label
        assert label.strip() not in NULL_WORDS | {""}, name
