"""Label Studio exports as other projects have them: several annotators, former releases, other results, other keys."""

import json
import logging

import pytest

from legalrr.corpora.label_studio import LabelStudio

TEXT = "IN THE HIGH COURT\n\nThe tenant was evicted. The appeal is dismissed."
ROLES = [(0, 17, "PREAMBLE"), (19, 42, "FAC"), (43, 67, "RPC")]


def result(start, end, role, **more):
    return {
        "value": {"start": start, "end": end, "text": TEXT[start:end], "labels": [role]},
        "id": f"r{start}",
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        **more,
    }


def annotation(*roles, **more):
    return {"result": [result(*one) for one in roles], **more}


@pytest.fixture
def read(write):
    """Read tasks as a corpus of the given configuration."""

    def make(*tasks, **fields):
        path = write("export.json", json.dumps(list(tasks)))
        return list(LabelStudio(name="mine", files={"mine": str(path)}, **fields).read(None))

    return make


def task(**more):
    return {"id": 1, "data": {"text": TEXT}, **more}


def roles(judgment):
    return None if judgment.spans is None else [(s.start, s.end, s.role) for s in judgment.spans]


FULL, PART = annotation(*ROLES), annotation(*ROLES[:1])


@pytest.mark.parametrize("flag", ["was_cancelled", "skipped"])
@pytest.mark.parametrize("key", ["annotations", "completions"])
def test_cancelled_annotations_are_skipped_and_logged(read, caplog, flag, key):
    with caplog.at_level(logging.INFO):
        [one] = read(task(**{key: [{"result": [], flag: True}, FULL | {flag: False}]}))
    assert roles(one) == ROLES
    assert [r.getMessage().partition("export.json: ")[2] for r in caplog.records] == ["skipped 1 cancelled annotations"]
    [one] = read(task(**{key: [FULL | {flag: True}]}))
    assert (one.spans, one.scheme) == (None, None)


@pytest.mark.parametrize("mark", ["ground_truth", "honeypot"])
def test_ground_truth_is_preferred_whatever_its_place(read, mark):
    for annotations in ([PART, FULL | {mark: True}], [FULL | {mark: True}, PART]):
        for fields in ({}, {"annotator": "2"}):
            [one] = read(task(annotations=[a | {"completed_by": 2} for a in annotations]), **fields)
            assert roles(one) == ROLES


def test_a_cancelled_ground_truth_does_not_count(read):
    [one] = read(task(annotations=[PART | {"ground_truth": True, "was_cancelled": True}, FULL]))
    assert roles(one) == ROLES


@pytest.mark.parametrize(
    ("who", "name"),
    [
        ({"completed_by": 7}, "7"),
        ({"completed_by": "7"}, "7"),
        ({"completed_by": {"id": 7, "email": "a@example.org", "first_name": "A"}}, "a@example.org"),
        ({"completed_by": {"id": 7, "email": "a@example.org"}}, "7"),
        ({"created_username": " a@example.org, 7"}, "a@example.org"),
    ],
)
def test_an_annotator_is_chosen_by_name(read, user_error, who, name):
    several = task(annotations=[PART | {"completed_by": 1}, FULL | who])
    [one] = read(several, annotator=name)
    assert roles(one) == ROLES
    with user_error("item 0", "2 annotations for one judgment, by 1, ", "none is ground truth", "corpus.annotator"):
        read(several)
    with user_error("item 0", "0 of them by 'nobody'"):
        read(several, annotator="nobody")
    with user_error("item 0", "2 of them by '7'"):
        read(task(annotations=[PART | {"completed_by": 7}, FULL | {"completed_by": 7}]), annotator="7")


def test_several_ground_truths_are_decided_by_annotator(read, user_error):
    several = [one | {"ground_truth": True, "completed_by": n} for n, one in enumerate((PART, FULL))]
    assert roles(read(task(annotations=several), annotator="1")[0]) == ROLES
    with user_error("several are ground truth"):
        read(task(annotations=several))


def test_predictions_are_read_as_gold_only_with_tagged(read, caplog):
    predicted = task(annotations=[], predictions=[FULL | {"model_version": "m"}])
    assert read(predicted)[0].spans is None
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "roles not read, as they are predictions; judgments concerned: 1 (corpus.tagged=true" in record.getMessage()
    assert roles(read(predicted, tagged=True)[0]) == ROLES


def test_predictions_of_several_taggers_are_chosen_by_version(read, user_error):
    predicted = task(predictions=[PART | {"model_version": "a"}, FULL | {"model_version": "b"}])
    assert roles(read(predicted, tagged=True, annotator="b")[0]) == ROLES
    with user_error("2 predictions for one judgment, by a, b"):
        read(predicted, tagged=True)


def test_predictions_exported_as_numbers_are_ignored_or_reported(read, user_error):
    given = task(annotations=[FULL], predictions=[12])
    assert roles(read(given)[0]) == ROLES
    with user_error("item 0, prediction 0", "not an object"):
        read(given, tagged=True)


@pytest.mark.parametrize(
    "other",
    [
        {"type": "relation", "from_id": "r0", "to_id": "r19", "direction": "right"},
        {"type": "choices", "value": {"choices": ["Dismissed"]}, "from_name": "outcome"},
        {"type": "choices", "value": {"start": 0, "end": 17, "choices": ["Sure"]}, "id": "r0"},
        {"type": "textarea", "value": {"text": ["a remark"]}},
        {"type": "rating", "value": {"rating": 4}},
        {"type": "taxonomy", "value": {"taxonomy": [["Civil", "Rent"]]}},
        {"type": "pairwise"},
    ],
)
def test_results_that_are_not_labels_are_skipped_and_logged(read, caplog, other):
    with caplog.at_level(logging.INFO):
        [one] = read(task(annotations=[{"result": [other, *FULL["result"], other]}]))
    assert roles(one) == ROLES
    assert f"skipped 2 results of the type '{other['type']}'" in caplog.records[0].getMessage()


def test_labels_that_do_not_refer_to_plain_text_are_rejected(read, user_error):
    other = {"type": "hypertextlabels", "value": {"start": "/p[1]", "hypertextlabels": ["FAC"]}}
    with user_error("item 0, span 0", "'hypertextlabels'", "<Labels> and <Text>"):
        read(task(annotations=[{"result": [other]}]))


@pytest.mark.parametrize("key", ["judgment", "body"])
def test_the_text_may_have_another_key(read, user_error, key):
    given = {"id": 1, "data": {"no": 5, key: TEXT}, "annotations": [FULL]}
    [one] = read(given, text_key=key)
    assert (one.text, roles(one)) == (TEXT, ROLES)
    with user_error("item 0", f"missing key 'text' in data; its strings are '{key}'", "corpus.text_key"):
        read(given)


def test_roles_may_be_spelt_otherwise(read, user_error):
    given = task(annotations=[annotation((19, 42, " Facts "), (43, 67, "RPC"))])
    assert roles(read(given, roles={"Facts": "FAC"})[0]) == [(19, 42, "FAC"), (43, 67, "RPC")]
    with user_error("item 0, span 0", "unknown role 'Facts'", "corpus.roles"):
        read(given)
    with user_error("corpus mine: roles", "unknown role 'FACTS'"):
        read(given, roles={"Facts": "FACTS"})


def test_output_of_the_opennyai_tagger_counts_as_predictions(read, caplog, user_error):
    regions = [
        {**result(*one)["value"], "id": str(n), "in_summary": False, "entities": []} for n, one in enumerate(ROLES)
    ]
    given = {"id": "RhetoricalRole_1", "data": {"preamble_text": TEXT[:17], "text": TEXT}, "annotations": regions}
    [one] = read(given, tagged=True)
    assert (one.id, roles(one)) == ("mine-0-RhetoricalRole_1", ROLES)
    assert caplog.records == []
    assert read(given)[0].spans is None
    assert "corpus.tagged=true" in caplog.records[0].getMessage()
    regions[1]["labels"] = ["FACTS"]
    with user_error("item 0, span 1", "unknown role 'FACTS'"):
        read(given, tagged=True)


def test_what_was_skipped_is_logged_even_if_reading_stops_early(write, caplog):
    predicted = task(predictions=[FULL])
    path = write("export.json", json.dumps([predicted, predicted]))
    judgments = LabelStudio(name="mine", files={"mine": str(path)}).read(None)
    next(judgments)
    judgments.close()
    assert "predictions" in caplog.records[0].getMessage()


def test_a_file_with_a_single_task_is_read(write):
    path = write("one.json", json.dumps(task(annotations=[FULL])))
    [one] = LabelStudio(name="mine", files={"mine": str(path)}).read(None)
    assert (one.id, roles(one)) == ("mine-0-1", ROLES)


def test_configurations_without_the_new_options_keep_their_identity():
    from legalrr.stage import description

    default = description(LabelStudio(name="c", files={"a": "x"}))["fields"]
    assert not {"annotator", "text_key", "roles"} & default.keys()
    assert "roles" in description(LabelStudio(name="c", files={"a": "x"}, roles={"Facts": "FAC"}))["fields"]
