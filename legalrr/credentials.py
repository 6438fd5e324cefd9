"""Refuse credentials in place of names and addresses, by their shape, so that none is written to a run or shown."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from legalrr.errors import UserError

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
WORD = re.compile(r"[A-Z0-9]{0,12}|[A-Za-z]{0,20}[0-9]{0,4}")
"""A word in the name of a variable (GPT4ALL, openai, key2); keys have longer ones, with digits inside."""
KEY_PREFIX = re.compile(r"(?:sk|pk|rk|gsk|csk|hf|xai|r8|ghp|nvapi|pplx)_")
"""Prefixes of keys, in lower case."""
OPTION = re.compile(r"api_key_env['\"]?\s*(?P<sign>[=:])(?P<rest>.*)", re.DOTALL)
VALUE = re.compile(r"[^\s,=:'\"(){}\[\]]+")
INTERPOLATION = re.compile(r"\$\{[^}]*\}")
USER_INFO = re.compile(
    r"[a-z][a-z0-9+.-]*:/*[^/\s?#'\"]*@|base_url['\"]?\s*[=:](?:\s*\[[^\]]*|[^,}]*)[@?#]", re.IGNORECASE
)


def is_variable_name(text: str) -> bool:
    """Whether a text is the name of an environment variable and does not have the shape of a key."""
    return (
        VARIABLE.fullmatch(text) is not None
        and KEY_PREFIX.match(text) is None
        and all(WORD.fullmatch(word) for word in text.split("_"))
    )


def require_variable_name(text: str, *, where: str) -> None:
    """Raise UserError, without the text, if it is not the name of an environment variable."""
    if not is_variable_name(text):
        raise UserError(
            "not a name of an environment variable",
            where=where,
            cure="give the name, e.g. OPENAI_API_KEY, never the key itself",
        )


def require_plain_url(url: str, *, where: str) -> None:
    """Raise UserError, without credentials, if a text is not the URL of a server or could contain credentials."""
    try:
        address = urlsplit(url)
        valid = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        address, valid = None, False
    if "@" in url or "?" in url or "#" in url:
        raise UserError(
            "a URL with a user, password, query or fragment would be stored in every run",
            where=where,
            cure="leave them out, and put the key into the environment variable api_key_env",
        )
    if not valid:
        raise UserError(f"{url!r} is not a URL of a server", where=where, cure="e.g. http://localhost:8000/v1")


def require_no_credentials(overrides: Iterable[str]) -> None:
    """Check the arguments of the command line before Hydra writes them to the run folder.

    Raises:
        UserError: an argument has a key in place of its variable, or a URL with credentials; it is not shown.
    """
    for override in overrides:
        option = OPTION.search(override)
        if option:
            values = VALUE.findall(INTERPOLATION.sub("X", option["rest"]))
            for value in values if option["sign"] == "=" else values[:1]:
                require_variable_name(value, where="backbone.api_key_env")
        if USER_INFO.search(override):
            raise UserError(
                "a URL with a user, password, query or fragment would be stored in every run",
                where=override.partition("=")[0],
                cure="leave them out, and put the key into the environment variable api_key_env",
            )
