"""Recognize the text that a scan may have: the stamp of a digital signature, or a few words beside an image.

Registries sign scans, too. The stamp is then the only text of a PDF:

    Signature Not Verified
    Digitally signed by A REGISTRAR
    Date: 2021.03.04 10:11:12 IST
    Reason:
"""

import re

FEW_WORDS = 20
"""A page with an image and fewer words has no text if no other page has more."""
_STAMP = re.compile(
    r"\bsignature\s+(?:not\s+verified|verified|valid|invalid|unknown)\b"
    r"|\bdigitally\s+signed\b(?:(?s:.){0,120}?\bdate\s*:?\s*\d[^\n]*|[^\n]*)"
    r"|^\s*(?:reason|location|date|designation|signer|signed\s+by)\s*:[^\n]*",
    re.IGNORECASE | re.MULTILINE,
)
_SIGNED = re.compile(
    r"\bsignature\s+(?:not\s+)?(?:verified|valid|invalid|unknown)\b|\bdigitally\s+signed\b", re.IGNORECASE
)
_WORD = re.compile(r"\w+")


def is_stamp(page: str) -> bool:
    """Whether the stamps of digital signatures are the only words of a page."""
    return _SIGNED.search(page) is not None and _WORD.search(_STAMP.sub("", page)) is None


def has_few_words(page: str) -> bool:
    """Whether a page has few words beside the stamps of digital signatures."""
    text = _STAMP.sub("", page) if _SIGNED.search(page) else page
    return sum(1 for _ in _WORD.finditer(text)) < FEW_WORDS
