import asyncio
import json

import httpx2
import pytest

from legalrr.backbones.openai_reply import insist

USAGE = {"prompt_tokens": 1, "completion_tokens": 1}
WHOLE = {"choices": [{"message": {"content": None}}], "usage": USAGE, "whatever": 1}


def look(content, status=200):
    request = httpx2.Request("POST", "http://there/v1")
    asyncio.run(insist(httpx2.Response(status, content=content, request=request)))


@pytest.mark.parametrize(
    "choice", [{"message": {}}, {"text": ""}, {"message": {"content": "x"}, "text": "x"}, {"text": "\ud83d"}]
)
def test_an_answer_with_its_counts_is_taken(choice):
    look(json.dumps(WHOLE | {"choices": [choice]}))


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (None, "body"),
        ([], "body"),
        ({"usage": USAGE}, "choices"),
        (WHOLE | {"choices": []}, "choices"),
        (WHOLE | {"choices": [{}]}, r"choices\.0"),
        (WHOLE | {"choices": [{"message": "x"}]}, r"choices\.0"),
        (WHOLE | {"choices": [{"message": {"content": ["x"]}}]}, r"choices\.0"),
        (WHOLE | {"usage": None}, "usage"),
        (WHOLE | {"usage": {"prompt_tokens": 1}}, r"usage\.completion_tokens"),
    ],
)
def test_what_lacks_an_answer_or_a_count_is_refused_by_its_place(body, named):
    with pytest.raises(httpx2.DecodingError, match=f"malformed reply, {named}"):
        look(json.dumps(body))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"no JSON"])
def test_what_is_no_json_is_refused(content):
    with pytest.raises(httpx2.DecodingError, match="malformed reply, body: Invalid JSON"):
        look(content)


def test_errors_of_the_server_are_left_to_the_client():
    look(b"no JSON", status=500)
    look(b"", status=307)
