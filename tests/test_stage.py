import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, is_dataclass, make_dataclass
from importlib import import_module
from typing import Any, ClassVar, Protocol, runtime_checkable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

import legalrr.stage
from legalrr.errors import UserError
from legalrr.former_paths import FORMER
from legalrr.protocols import Predictor, VerdictReader
from legalrr.stage import (
    at_least,
    build,
    check_fields,
    choice,
    description,
    digest,
    digest_of_items,
    identity,
    later,
    runtime,
)
from legalrr.verdict import PatternVerdictReader

PREDICTOR = "legalrr.predictors.TfidfPredictor"


def node(text: str, within: str = "") -> Any:
    """The node `stage` of a config."""
    whole = OmegaConf.create(f"stage: {text}\n{within}")
    return whole._get_node("stage")


@dataclass(frozen=True, kw_only=True)
class Inner:
    """A stage within a stage."""

    depth: int = 1
    """Counts."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage with a field of every kind."""

    rate: float = 0.5
    """Counts."""
    names: list[str] = field(default_factory=list)
    """Counts."""
    table: dict[str, int] = field(default_factory=dict)
    """Counts."""
    inner: Inner = field(default_factory=Inner)
    """Counts."""
    limit: int | None = None
    """Counts."""
    workers: int = runtime(default=1)
    """Does not count."""
    newer: int = later(default=1)
    """Counts where it has another value."""

    VERSION: ClassVar[int] = 3


@dataclass(frozen=True, kw_only=True)
class Spare:
    """A stage with two numbers."""

    folds: int = 1
    """Counts."""
    spare: int = 1
    """Counts."""


@runtime_checkable
class Anything(Protocol):
    """Protocol that every stage satisfies."""


class TestBuild:
    def test_node_becomes_the_stage_it_names_with_its_fields(self) -> None:
        built: Any = build(node(f"{{_target_: {PREDICTOR}, folds: 3, reads: tail}}"), Predictor, option="predict")
        assert type(built).__name__ == "TfidfPredictor"
        assert (built.folds, built.reads, built.classifier) == (3, "tail", "logistic_regression")

    def test_misspelt_field_is_named_with_the_known_ones(self) -> None:
        with pytest.raises(UserError, match=r"^predict: .*fold\b.*classifier, reads, folds") as caught:
            build(node(f"{{_target_: {PREDICTOR}, fold: 3}}"), Predictor, option="predict")
        assert "\n" not in str(caught.value)

    def test_wrong_type_is_named_with_its_value(self) -> None:
        with pytest.raises(UserError, match=r"^predict: Value 'many'"):
            build(node(f"{{_target_: {PREDICTOR}, folds: many}}"), Predictor, option="predict")

    def test_misspelt_field_of_a_nested_stage_raises(self) -> None:
        text = "{_target_: legalrr.annotate.annotate.Annotate, tokens: {analysys: 3}}"
        with pytest.raises(UserError, match="analysys"):
            build(node(text), Anything, option="annotate")

    def test_missing_required_field_is_named(self) -> None:
        with pytest.raises(UserError, match=r"^corpus: .*\bfolder\b"):
            build(node("{_target_: legalrr.corpora.marked.Marked, name: x}"), Anything, option="corpus")

    def test_value_that_the_class_rejects_names_its_option(self) -> None:
        with pytest.raises(UserError, match=r"^predict\.reads: unknown reads 'all'"):
            build(node(f"{{_target_: {PREDICTOR}, reads: all}}"), Predictor, option="predict")

    @pytest.mark.parametrize("text", ["{folds: 3}", "{_target_: 3}", "{_target_: null}", "{_target_: '???'}", "{}"])
    def test_node_without_target_raises(self, text: str) -> None:
        with pytest.raises(UserError, match=r"^predict: _target_ does not name a class"):
            build(node(text), Predictor, option="predict")

    @pytest.mark.parametrize("target", ["legalrr.nothing.X", "legalrr.verdict.Nothing", "Nothing", ".x.Y", "a..b"])
    def test_class_that_cannot_be_imported_is_named(self, target: str) -> None:
        with pytest.raises(UserError, match=r"^predict: cannot import") as caught:
            build(node(f"{{_target_: {target}}}"), Predictor, option="predict")
        assert target in str(caught.value)

    @pytest.mark.parametrize("target", ["collections.Counter", "os.path.join", "legalrr.roles.BUILD"])
    def test_target_that_is_not_a_dataclass_raises(self, target: str) -> None:
        with pytest.raises(UserError, match=r"is not a dataclass"):
            build(node(f"{{_target_: {target}}}"), Predictor, option="predict")

    def test_stage_of_another_protocol_raises(self) -> None:
        with pytest.raises(UserError, match=r"^predict: legalrr\.verdict\.PatternVerdictReader is not a Predictor"):
            build(node("{_target_: legalrr.verdict.PatternVerdictReader}"), Predictor, option="predict")

    @pytest.mark.parametrize("reference", ["${number}", "${..number}", "${other.number}", "${.spare}"])
    def test_interpolations_refer_to_the_whole_config(self, reference: str) -> None:
        text = f"{{_target_: {__name__}.Spare, folds: '{reference}', spare: 4}}"
        built: Any = build(node(text, "number: 4\nother: {number: 4}"), Anything, option="predict")
        assert built.folds == 4

    def test_interpolation_without_a_target_raises(self) -> None:
        with pytest.raises(UserError, match=r"^predict: .*nowhere"):
            build(node(f"{{_target_: {PREDICTOR}, folds: '${{nowhere}}'}}"), Predictor, option="predict")

    def test_building_does_not_change_the_config(self) -> None:
        whole = OmegaConf.create({"stage": {"_target_": PREDICTOR, "folds": "${n}"}, "n": 3})
        before = OmegaConf.to_yaml(whole)
        build(whole.stage, Predictor, option="stage")
        assert OmegaConf.to_yaml(whole) == before

    def test_every_reading_of_the_verdict_is_a_reader(self) -> None:
        built = build(
            node("{_target_: legalrr.verdict.PatternVerdictReader, reading: study}"), VerdictReader, option="verdict"
        )
        assert built == PatternVerdictReader(reading="study")


class TestIdentity:
    def test_runtime_fields_do_not_count(self) -> None:
        assert identity(Stage(workers=1)) == identity(Stage(workers=8))

    @pytest.mark.parametrize(
        "other",
        [
            Stage(rate=0.25),
            Stage(names=["a"]),
            Stage(table={"a": 1}),
            Stage(inner=Inner(depth=2)),
            Stage(limit=0),
            Stage(newer=2),
        ],
        ids=["float", "list", "mapping", "nested", "optional", "later"],
    )
    def test_every_other_field_counts(self, other: Stage) -> None:
        assert identity(other) != identity(Stage())

    def test_a_later_field_with_its_default_does_not_change_the_identity(self) -> None:
        older = make_dataclass("S", [("x", int, 1)], frozen=True)
        newer = make_dataclass("S", [("x", int, 1), ("y", int, later(default=2))], frozen=True)
        assert identity(older()) == identity(newer())
        assert identity(older()) != identity(newer(y=3))

    def test_order_in_a_list_counts(self) -> None:
        assert identity(Stage(names=["a", "b"])) != identity(Stage(names=["b", "a"]))

    def test_version_counts(self) -> None:
        older = make_dataclass("S", [("x", int, 1)], namespace={"VERSION": 1}, frozen=True)
        newer = make_dataclass("S", [("x", int, 1)], namespace={"VERSION": 2}, frozen=True)
        assert identity(older()) != identity(newer())

    def test_order_of_fields_does_not_count(self) -> None:
        one = make_dataclass("S", [("x", int, 1), ("y", int, 2)], frozen=True)
        two = make_dataclass("S", [("y", int, 2), ("x", int, 1)], frozen=True)
        assert identity(one()) == identity(two())

    def test_class_counts(self) -> None:
        one, two = make_dataclass("S", [], frozen=True), make_dataclass("T", [], frozen=True)
        assert identity(one()) != identity(two())

    def test_description_is_plain_json_with_class_version_and_fields(self) -> None:
        told = description(Stage(names=["a"], table={"k": 1}))
        assert json.loads(json.dumps(told)) == told
        assert told["class"].endswith(".Stage")
        assert told["version"] == 3
        assert told["fields"].keys() == {"rate", "names", "table", "inner", "limit"}
        assert told["fields"]["inner"]["fields"] == {"depth": 1}

    def test_field_that_json_cannot_represent_raises(self) -> None:
        odd = make_dataclass("S", [("x", object, None)], frozen=True)
        with pytest.raises(TypeError, match="set cannot be part"):
            identity(odd({1}))
        with pytest.raises(TypeError, match="type cannot be part"):
            identity(odd(Stage))

    def test_identity_is_a_sha_256_in_hexadecimal(self) -> None:
        assert len(identity(Stage())) == 64
        assert set(identity(Stage())) <= set("0123456789abcdef")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class TestDigest:
    @given(st.dictionaries(st.text(), json_values, max_size=5))
    def test_order_of_keys_does_not_count(self, content: dict[str, Any]) -> None:
        assert digest(content) == digest(dict(reversed(content.items())))

    @given(json_values)
    def test_digest_survives_a_round_trip_through_json(self, content: Any) -> None:
        assert digest(json.loads(json.dumps(content))) == digest(content)

    @pytest.mark.parametrize(
        ("one", "two"), [(1, "1"), (None, "null"), (["a", "b"], ["ab"]), ("é", "e\u0301"), (True, 1), ([], {})]
    )
    def test_different_content_has_different_digests(self, one: object, two: object) -> None:
        assert digest(one) != digest(two)

    @given(st.lists(json_values, max_size=5))
    def test_digest_of_items_is_that_of_their_list(self, items: list[Any]) -> None:
        assert digest_of_items(iter(items)) == digest(items)

    def test_surrogate_has_a_digest(self) -> None:
        assert digest("\ud800") != digest("\ud801")

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
    def test_numbers_that_json_cannot_represent_raise(self, number: float) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            digest({"x": [number]})

    @pytest.mark.parametrize("value", [{1, 2}, b"x", Stage(), object()], ids=["set", "bytes", "stage", "object"])
    def test_objects_that_json_cannot_represent_raise(self, value: object) -> None:
        with pytest.raises(TypeError):
            digest({"x": value})


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A stage with restricted fields."""

    order: str = choice("left", "left", "right")
    """One of two."""
    side: str = choice("up", "up", "down", "none", runtime=True)
    """One of three, which does not count."""
    size: int = at_least(1)
    """Required."""
    form: str | None = choice(None, "long", "short")
    """Optional."""
    most: int | None = at_least(0, None)
    """Optional."""
    batch: int = at_least(1, 8, runtime=True)
    """Does not count."""

    def __post_init__(self) -> None:
        check_fields(self, "stage")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"order": "up"}, "stage.order: unknown order 'up' (use left or right)"),
        ({"side": "left"}, "stage.side: unknown side 'left' (use up, down, none)"),
        ({"form": "wide"}, "stage.form: unknown form 'wide' (use long or short)"),
        ({"side": None}, "stage.side: unknown side None (use up, down, none)"),
        ({"size": 0}, "stage.size: size is 0 (give at least 1)"),
        ({"most": -1}, "stage.most: most is -1 (give at least 0)"),
        ({"batch": 0}, "stage.batch: batch is 0 (give at least 1)"),
    ],
)
def test_invalid_value_names_its_option(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        Checked(**{"size": 1, **values})
    assert str(caught.value) == said


def test_restricted_fields_are_described_as_other_fields() -> None:
    assert description(Checked(size=1, side="down", batch=2))["fields"] == {
        "order": "left",
        "size": 1,
        "form": None,
        "most": None,
    }


def test_a_number_without_a_default_is_required() -> None:
    with pytest.raises(TypeError, match="size"):
        Checked()


class TestMovedClasses:
    """Classes that moved after their first release."""

    @pytest.fixture
    def moved(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        """Register `Spare` as moved; returns its former path."""
        former = "legalrr.elsewhere.Spare"
        monkeypatch.setattr(legalrr.stage, "FORMER", {f"{__name__}.Spare": former})
        legalrr.stage._current_path.cache_clear()
        yield former
        legalrr.stage._current_path.cache_clear()

    def test_a_moved_class_is_described_by_its_former_path(self, moved: str) -> None:
        assert description(Spare())["class"] == moved
        assert description(Inner())["class"] == f"{__name__}.Inner"

    def test_a_nested_moved_class_is_described_by_its_former_path(self, moved: str) -> None:
        outer = make_dataclass("S", [("spare", Spare, Spare())], frozen=True)
        assert description(outer())["fields"]["spare"]["class"] == moved

    def test_a_former_target_is_built_with_one_warning(self, moved: str, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                assert build(node(f"{{_target_: {moved}, folds: 2}}"), Anything, option="predict") == Spare(folds=2)
        assert caplog.messages == [
            f"predict._target_: {moved} has moved; the next release will not accept this path. Write: {__name__}.Spare"
        ]

    def test_the_current_target_is_built_without_a_warning(self, moved: str, caplog: pytest.LogCaptureFixture) -> None:
        build(node(f"{{_target_: {__name__}.Spare}}"), Anything, option="predict")
        assert not caplog.messages

    @pytest.mark.parametrize("now", FORMER)
    def test_every_moved_class_is_importable(self, now: str) -> None:
        module, _, name = now.rpartition(".")
        cls = getattr(import_module(module), name)
        assert is_dataclass(cls)
        assert f"{cls.__module__}.{cls.__qualname__}" == now

    def test_no_two_classes_have_the_same_former_path(self) -> None:
        assert len(set(FORMER.values())) == len(FORMER)
        assert not FORMER.keys() & set(FORMER.values())


def test_a_missing_value_is_named_with_the_option_to_set() -> None:
    with pytest.raises(UserError, match=r"^corpus: corpus.folder has no value \(set corpus.folder=VALUE\)$"):
        build(node("{_target_: legalrr.corpora.text.TextFolder, name: mine, folder: '???'}"), object, option="corpus")
