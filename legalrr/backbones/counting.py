"""Load a backbone to count tokens only."""

from dataclasses import replace
from typing import Any

from legalrr.errors import UserError
from legalrr.protocols import Backbone, Engine


def load_to_count(backbone: Backbone) -> tuple[Engine, str | None]:
    """Load a backbone whose weights another process or machine runs: without its device, if that is not here.

    Returns:
        the engine, which counts tokens; and what it lacks to run the model here, None for nothing.

    Raises:
        UserError: it cannot be loaded.
    """
    try:
        return backbone.load(), None
    except UserError as error:
        if getattr(backbone, "device", "cpu") == "cpu":
            raise
        opened: Any = replace(backbone, device="cpu")  # type: ignore[type-var]
        return opened.load(), str(error)
