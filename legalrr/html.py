"""Self-contained HTML pages: templates, and hashes for the content security policy."""

import base64
import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2

SVG_SALT = "legalrr"
"""Fixed salt of the ids in SVG files, so that the same figure gives the same bytes."""


def source_hash(source: str) -> str:
    """Return the hash of an inline script or style for a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii")


def template_source(environment: "jinja2.Environment", name: str) -> str:
    """Return the source of a script or style of the package, unrendered."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


@lru_cache(maxsize=1)
def environment() -> "jinja2.Environment":
    """Return the Jinja environment of the package: templates by their path, values escaped."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("legalrr", "."),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
