"""Damaged and hostile Label Studio exports end in judgments or in one UserError with file and place."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from legalrr.corpora.label_studio import LabelStudio
from legalrr.errors import UserError
from tests.mutations import MUTATIONS

TEXT = "Facts. Order."
REGION = {"start": 0, "end": 6, "text": "Facts.", "labels": ["FAC"]}
RESULT = {"id": "r", "type": "labels", "value": REGION, "score": 0.5}
WORK = {
    "result": [RESULT, {"type": "choices", "value": {"choices": ["Dismissed"]}}],
    "was_cancelled": False,
    "ground_truth": True,
    "completed_by": {"id": 1, "email": "a@example.org"},
    "model_version": "m",
}
FACTS = {"id": "a", "outcome": "allowed", "party": "appellant", "year": 1999, "court": "C", "scheme": "build"}
SEEDS = [
    [{"id": 1, "data": {"text": TEXT}, "meta": {"group": "Tax"}, "annotations": [WORK], "predictions": [WORK]}],
    [{"id": 1, "data": {"text": TEXT, "judgment": FACTS}, "annotations": [WORK, WORK]}],
    [{"id": "a", "data": {"text": TEXT}, "completions": [WORK | {"honeypot": True, "skipped": False}]}],
    [{"id": "a", "data": {"text": TEXT}, "annotations": [REGION, REGION | {"start": 7, "end": 13, "text": "Order."}]}],
    {"id": 1, "data": {"text": TEXT}, "annotations": [WORK]},
]
FIELDS = [{}, {"tagged": True}, {"annotator": "1", "roles": {"Facts": "FAC"}}, {"text_key": "judgment"}]
PIECES = [
    None,
    True,
    -1,
    2**70,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "FAC",
    "\ud800",
    "\x1b[2J\n",
    [],
    {},
    [[]],
    {"id": []},
]
json_values = st.sampled_from(PIECES) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value, path=()):
    """Return the paths of all parts of a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, inner in children for found in places(inner, (*path, key)))]


@st.composite
def mutated(draw):
    """Make an export with one to three values replaced, removed, renamed or repeated."""
    root = {"all": copy.deepcopy(draw(st.sampled_from(SEEDS)))}
    for _ in range(draw(st.integers(1, 3))):
        *parents, key = draw(st.sampled_from([path for path in places(root) if path]))
        holder = root
        for one in parents:
            holder = holder[one]
        match draw(st.sampled_from(["replace", "remove", "repeat", "rename"])):
            case "remove" if parents:
                del holder[key]
            case "repeat" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case "rename" if isinstance(holder, dict) and parents:
                holder[draw(st.text(max_size=5))] = holder.pop(key)
            case _:
                # A copy: the next mutation may change it.
                holder[key] = copy.deepcopy(draw(json_values))
    return root["all"]


def read(path, fields):
    """Read a file; return its judgments and the error, one of which is None."""
    try:
        return list(LabelStudio(name="c", files={"mine": str(path)}, **fields).read(None)), None
    except UserError as error:
        return None, error


def check(path, fields):
    found, error = read(path, fields)
    if error is not None:
        assert str(path) in error.where
        assert error.what
        assert "\n" not in str(error)
    for one in found or ():
        json.dumps([one.id, one.text, one.kind, one.court], ensure_ascii=False).encode("utf-8")
        last = 0
        for span in one.spans or ():
            assert last <= span.start < span.end <= len(one.text)
            last = span.end


fast = settings(max_examples=MUTATIONS, deadline=None, suppress_health_check=list(HealthCheck))


@given(mutated(), st.sampled_from(FIELDS))
@fast
def test_a_mutated_export_ends_in_judgments_or_one_line(tmp_path, value, fields):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    check(path, fields)


@given(st.sampled_from(SEEDS), st.data())
@fast
def test_an_export_with_mutated_bytes_ends_in_judgments_or_one_line(tmp_path, seed, data):
    content = bytearray(json.dumps(seed).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        content[start : start + data.draw(st.sampled_from([0, 1, 5, 10**6]))] = data.draw(st.binary(max_size=4))
    path = tmp_path / "mine.json"
    path.write_bytes(content)
    check(path, {})


OUTCOMES = b"index,id,kind,label,confidence,duplicate_of\n0,1,trial,1,high,\n"


@given(st.integers(0, len(OUTCOMES)), st.integers(0, 8), st.binary(max_size=4) | st.just(b"0" * 5000))
@fast
def test_mutated_outcomes_end_in_judgments_or_one_line(tmp_path, start, length, inserted):
    path, outcomes = tmp_path / "mine.json", tmp_path / "mine.csv"
    path.write_text(json.dumps(SEEDS[0]), encoding="utf-8")
    outcomes.write_bytes(OUTCOMES[:start] + inserted + OUTCOMES[start + length :])
    found, error = read(path, {"outcomes": {"mine": str(outcomes)}})
    # A row that names a duplicate leaves no judgment.
    assert found is not None or "mine." in error.where


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('[\n{"id": ' + "9" * 5000 + "}]", "mine.json:2: a number with too many digits"),
        ('{"data": 5, "id": 1}', "item 0: data is not an object"),
        ('[{"id": NaN, "data": {}}]', "item 0: id nan is not a number or a string"),
        ('[{"id": "\\ud800", "data": {"text": "Facts."}}]', "item 0: unpaired surrogate in id"),
        ('[{"id": 1, "data": {"text": "Facts."}, "meta": 5}]', "item 0: meta is not an object"),
        ('[{"id": 1, "data": {"text": "F."}, "annotations": {}}]', "item 0: annotations is not a list"),
        ('[{"id": 1, "data": {"text": "F."}, "annotations": [{"result": 5}]}]', "annotation 0: result is not a list"),
        ('[{"id": 1, "data": {"text": "F."}, "annotations": [{}]}]', "annotation 0: missing key 'result'"),
        ("[7]", "item 0: the value is not an object"),
    ],
)
def test_hostile_values_are_rejected_with_their_place(write, user_error, content, words):
    path = write("mine.json", content)
    with user_error("mine.json", words):
        list(LabelStudio(name="c", files={"mine": str(path)}).read(None))


def test_the_seeds_themselves_are_read(tmp_path):
    path = tmp_path / "mine.json"
    for number, seed in enumerate(SEEDS):
        path.write_text(json.dumps(seed), encoding="utf-8")
        found, _ = read(path, {"tagged": number == 3})
        # The second has two ground truths by one annotator.
        assert (found is None) == (number == 1)
        assert number == 1 or found[0].spans
