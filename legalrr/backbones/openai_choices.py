"""How servers are told to write one of some answers and nothing else, and what they then say."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from legalrr.backbones.openai_errors import SHOWN
from legalrr.errors import UserError
from legalrr.protocols import Call

FIELD = "answer"
"""Where the JSON object that a schema asks for holds the answer."""


def restriction(dialect: str, choices: Sequence[str]) -> Mapping[str, Any]:
    """What a request holds beside the conversation; nothing without choices.

    A schema has to describe an object (platform.openai.com/docs/guides/structured-outputs, "Root objects"), so the
    model writes its answer into one.
    """
    if not choices:
        return {}
    if dialect == "structured_outputs":
        return {"structured_outputs": {"choice": list(choices)}}
    schema = {
        "type": "object",
        "properties": {FIELD: {"type": "string", "enum": list(choices)}},
        "required": [FIELD],
        "additionalProperties": False,
    }
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": FIELD, "strict": True, "schema": schema}}
    }


def chosen(dialect: str, call: Call, content: str, *, option: str) -> str:
    """The choice that a whole answer names.

    Args:
        dialect: how the server was told.
        call: what was asked, with its choices.
        content: what the server says.
        option: config path of the backbone, for messages.

    Raises:
        UserError: it names none, as the server does not know the dialect: vLLM passes over fields that it does not know
            in silence.
    """
    named = _field(content) if dialect == "json_schema" else content
    if named not in call.choices:
        allowed = " or ".join(call.choices)
        raise UserError(
            f"the server wrote {textwrap.shorten(content, SHOWN)!r} where only {allowed} may be written",
            where=f"call {call.key}",
            cure=f"it seems not to know {dialect}: use another {option}.structured, or predict.scoring=generate",
        )
    return named


def _field(content: str) -> str:
    """The answer in a JSON object; "" where there is none."""
    try:
        held = json.loads(content)
    except ValueError:
        return ""
    named = held.get(FIELD) if isinstance(held, dict) else None
    return named if isinstance(named, str) else ""
