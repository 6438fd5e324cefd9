"""Parts of a page without outside resources: text that HTML can hold, and digests of its own script and style."""

import base64
import hashlib

# Control characters have no place in HTML; Unicode has pictures of them. Half characters cannot be written at all.
_SHOWN = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"}
_SHOWN |= {0x7F: 0x2421} | dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000)], 0xFFFD)


def shown(text: str) -> str:
    """Text with control characters as pictures and half characters as U+FFFD, character by character."""
    return text.translate(_SHOWN)


def source_hash(source: str) -> str:
    """What a content security policy calls an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii")
