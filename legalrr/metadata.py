"""Facts about a corpus or backbone, as the `meta` node of its yaml states them.

    meta:
      licence: Apache-2.0
      context: 262,144 tokens

They describe the file's choice to a reader and are no part of the stage: `legalrr.stage.build` leaves the node out.
"""

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from legalrr.errors import UserError
from legalrr.stage import META

LOG = logging.getLogger(__name__)


def read_metadata(file: Path, keys: Sequence[str], *, wrapped: bool = True) -> dict[str, str]:
    """Read the facts that a yaml states, by key; those that it does not state are left out.

    A file of one's own that still has them in comments at its head (`# Licence: MIT`) is read for one more release,
    with a warning that says what to write. What a parent in `defaults` states is not inherited: it is of another model.

    Args:
        file: the yaml.
        keys: the facts that there may be.
        wrapped: whether a fact in comments may go on in lines that begin with `#   `.

    Raises:
        UserError: no YAML, `meta` is not a mapping, a key is unknown, or a value is not text or a number.
    """
    try:
        config = OmegaConf.load(file)
    except YAMLError as error:
        raise UserError(
            "not YAML: " + " ".join(str(error).split()), where=str(file), cure="correct the file"
        ) from error
    if not isinstance(config, DictConfig) or META not in config:
        return _from_comments(file, keys, wrapped)
    node = OmegaConf.to_container(config, resolve=False)[META]  # type: ignore[call-overload, index]
    if not isinstance(node, dict):
        raise UserError(f"{META} is not a mapping", where=str(file), cure=f"state {', '.join(keys)}")
    found = {}
    for key, value in node.items():
        if key not in keys:
            raise UserError(f"unknown fact {META}.{key}", where=str(file), cure=f"state {', '.join(keys)}")
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UserError(f"{META}.{key} is not text", where=str(file), cure="write text, or leave it out")
        found[str(key)] = " ".join(str(value).split())
    return found


def _from_comments(file: Path, keys: Sequence[str], wrapped: bool) -> dict[str, str]:
    names = "|".join(key.capitalize() for key in keys)
    more = r"(?:\n#   .*)*" if wrapped else ""
    stated = re.compile(rf"^# ({names}):(.*{more})", re.MULTILINE).findall(file.read_text("utf-8"))
    found = {key.lower(): " ".join(value.replace("\n#", " ").split()) for key, value in stated}
    if found:
        LOG.warning(
            "%s: state facts in a node; comments are not read from the next release on. Write: %s: %s",
            file,
            META,
            json.dumps(found, ensure_ascii=False),
        )
    return found
