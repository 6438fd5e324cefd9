"""Parts of a page without outside resources: templates, text that HTML can hold, digests of its script and style."""

import base64
import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2

SVG_SALT = "legalrr"
"""Salt of the ids in an SVG file, fixed so that the same figure gives the same bytes."""

# Control characters have no place in HTML; Unicode has pictures of them. Half characters cannot be written at all.
_SHOWN = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"}
_SHOWN |= {0x7F: 0x2421} | dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000)], 0xFFFD)


def printable(text: str) -> str:
    """Text with control characters as pictures and half characters as U+FFFD, character by character."""
    return text.translate(_SHOWN)


def source_hash(source: str) -> str:
    """What a content security policy calls an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii")


def template_source(environment: "jinja2.Environment", name: str) -> str:
    """A script or style of the package, as it stands in its file."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


@lru_cache(maxsize=1)
def environment() -> "jinja2.Environment":
    """The package's templates of pages, by their path in it; what they are given is escaped."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("legalrr", "."),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
