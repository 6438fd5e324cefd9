"""Restrict answers to choices: arguments of a request, and the choice in its answer."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from legalrr.backbones.openai.replies import MAX_CHARACTERS
from legalrr.errors import UserError
from legalrr.protocols import Call

FIELD = "answer"
"""Key of the answer in the JSON object that a schema requires."""


def structured_arguments(dialect: str, choices: Sequence[str]) -> Mapping[str, Any]:
    """Return the arguments of a request that restrict the answer to choices; empty without choices.

    A schema must describe an object (platform.openai.com/docs/guides/structured-outputs, "Root objects"), so the
    answer is a value in one.
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


def parse_choice(dialect: str, call: Call, content: str) -> str:
    """Parse the choice from a complete answer.

    Args:
        dialect: structured_outputs or json_schema.
        call: the call, with its choices.
        content: the server's answer.

    Raises:
        UserError: it is not a choice, as the server does not support the dialect: vLLM silently ignores unknown fields.
    """
    named = _field(content) if dialect == "json_schema" else content
    if named not in call.choices:
        allowed = " or ".join(call.choices)
        raise UserError(
            f"the server answered {textwrap.shorten(content, MAX_CHARACTERS)!r}, not {allowed}",
            where=f"call {call.key}",
            cure=f"it seems to ignore {dialect}: use another backbone.structured, or predict.scoring=generate",
        )
    return named


def _field(content: str) -> str:
    """Return the answer in a JSON object; "" if there is none."""
    try:
        parsed = json.loads(content)
    except ValueError:
        return ""
    named = parsed.get(FIELD) if isinstance(parsed, dict) else None
    return named if isinstance(named, str) else ""
