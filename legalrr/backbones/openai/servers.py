"""The addresses of the servers of a backbone: one, or several of the same model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from legalrr.credentials import require_plain_url
from legalrr.errors import UserError
from legalrr.stage import runtime


@dataclass(frozen=True, kw_only=True)
class ServerList:
    """Servers of the same model, which share the calls; which ones they are is not part of an identity."""

    urls: tuple[str, ...] = runtime()
    """Their base URLs."""


def read_servers(given: Any, *, where: str) -> str | ServerList:
    """Check the base URL of a server, or a list of those of several.

    Args:
        given: the URL, or the list of URLs.
        where: the option, for messages.

    Raises:
        UserError: not a URL, one that could contain credentials, or one that stands in the list twice.
    """
    if isinstance(given, ServerList):
        return given
    if not isinstance(given, list | tuple):
        require_plain_url(str(given), where=where)
        return str(given)
    urls = [str(url) for url in given]
    if not urls:
        raise UserError("a list without a server", where=where, cure="e.g. [http://a:8000/v1,http://b:8000/v1]")
    for url in urls:
        require_plain_url(url, where=where)
    (url, count), *_ = Counter(url.rstrip("/") for url in urls).most_common()
    if count > 1:
        raise UserError(f"{url} stands in the list {count} times", where=where, cure="give each server once")
    return ServerList(urls=tuple(urls))
