"""Read YAML of any origin: of bounded depth, without aliases and tags.

A few aliases may stand for a text of any size, deep nesting takes long, and tags name types. Files beyond these bounds
end in a `YamlError`; readers bound the size, and add the file.
"""

import re
from typing import Any

LONGEST = 1_000_000
"""Most characters of a text."""
_BRACKETS = re.compile(r"(?:[\[{(]\s*){50}")


class YamlError(ValueError):
    """YAML that cannot be read, with the line, from 1, of the fault."""

    def __init__(self, fault: str, line: int) -> None:
        self.fault, self.line = fault, line
        super().__init__(f"{fault} in line {line}")


class YamlBoundError(YamlError):
    """YAML beyond the bounds: it may be valid."""


def load_yaml(text: str, *, depth: int, typed: bool = False) -> Any:
    """Parse YAML.

    Args:
        text: one document.
        depth: most levels of lists and mappings.
        typed: whether scalars become numbers, booleans, dates and None; False: all are strings.

    Raises:
        YamlError: not YAML.
        YamlBoundError: more than `LONGEST` characters, deeper than `depth`, or with an alias or a tag.
    """
    import yaml

    if len(text) > LONGEST:
        raise YamlBoundError(f"more than {LONGEST} characters", 1)
    if run := _BRACKETS.search(text):
        # The scanner takes quadratic time for them before it reports the first.
        raise YamlBoundError("nested too deeply", text.count("\n", 0, run.start()) + 1)
    line = 1
    try:
        level = 0
        # libyaml is faster, but not part of every installation of PyYAML.
        for event in yaml.parse(text, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader)):
            line = event.start_mark.line + 1 if event.start_mark else line
            level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if level > depth:
                raise YamlBoundError("nested too deeply", line)
            if isinstance(event, yaml.AliasEvent):
                raise YamlBoundError("an alias", line)
            if (tag := getattr(event, "tag", None)) is not None:
                raise YamlBoundError(f"a tag, {tag!r}", line)
        line = 1
        return yaml.load(text, Loader=yaml.SafeLoader if typed else yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise _describe(error, line, last=text.rstrip().count("\n") + 1) from error
    except (ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, YamlError):
            raise
        # A date or number that does not exist: the loader does not give its place.
        raise YamlError(f"an impossible value: {error}", line) from error


def _describe(error: Exception, line: int, *, last: int) -> YamlError:
    fault = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML")
    marks = [mark for name in ("problem_mark", "context_mark") if (mark := getattr(error, name, None)) is not None]
    # What is not closed by the end is named by its beginning.
    inside = [mark.line + 1 for mark in marks if mark.line < last]
    return YamlError(fault, inside[0] if inside else line)
