"""legalrr: does structuring a judgment help a language model predict its outcome?

The stages run in one order: corpus -> segment -> restructure -> annotate -> predict -> verdict -> score -> report. The
records that they exchange are defined in `legalrr.records`, the rhetorical roles in `legalrr.roles`.

The names in `__all__` are the public interface. They are loaded on first use, so that `import legalrr` takes a few
milliseconds and imports neither torch nor Hydra.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from legalrr.api import (
        Judgments,
        Run,
        build_prompt,
        compare,
        evaluate,
        load_corpus,
        load_tagger,
        read_run,
    )
    from legalrr.errors import UserError
    from legalrr.records import (
        Block,
        Case,
        CompletedTurn,
        Completion,
        Document,
        Example,
        Hidden,
        Judgment,
        Message,
        Page,
        Prompt,
        PromptTurn,
        Quote,
        Scored,
        Segments,
        Span,
        Verdict,
    )
    from legalrr.score.scorer import score

__version__ = "0.1.0"

__all__ = [
    "Block",
    "Case",
    "CompletedTurn",
    "Completion",
    "Document",
    "Example",
    "Hidden",
    "Judgment",
    "Judgments",
    "Message",
    "Page",
    "Prompt",
    "PromptTurn",
    "Quote",
    "Run",
    "Scored",
    "Segments",
    "Span",
    "UserError",
    "Verdict",
    "build_prompt",
    "compare",
    "evaluate",
    "load_corpus",
    "load_tagger",
    "read_run",
    "score",
]

_API = ("Judgments", "Run", "build_prompt", "compare", "evaluate", "load_corpus", "load_tagger", "read_run")


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "score":
        # Importing the package `legalrr.score` binds it to this name, so the package is callable.
        return import_module("legalrr.score")
    module = "api" if name in _API else "errors" if name == "UserError" else "records"
    value = getattr(import_module(f"legalrr.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
