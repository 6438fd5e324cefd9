"""The words of the prompts: the templates (jinja2) beside this file."""

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


@lru_cache
def template(name: str) -> "jinja2.Template":
    """The template in the file `name`, which refuses names that it is not given."""
    return _environment().get_template(name)


def source(name: str) -> str:
    """The text of the file `name`."""
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


@lru_cache(maxsize=1)
def _environment() -> "jinja2.Environment":
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("legalrr", "annotate"), undefined=jinja2.StrictUndefined, autoescape=False
    )
