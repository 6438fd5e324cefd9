"""Data sets on the Hugging Face hub, at one commit and through `datasets`."""

import re
from collections.abc import Iterable, Iterator, Mapping

from legalrr.corpora.checks import splits_to_read
from legalrr.corpora.files import Row, need_columns
from legalrr.errors import UserError

COMMIT = re.compile(r"[0-9a-f]{40}")


def check_commit(revision: str | None, *, hub: str, where: str) -> str:
    """The commit; raises UserError, saying how to get one, for a branch, a tag, a short hash or none at all."""
    if revision is None or not COMMIT.fullmatch(revision):
        raise UserError(
            f"revision {revision!r} is no commit of 40 hexadecimal digits",
            where=where,
            cure=f"copy the newest one from https://huggingface.co/datasets/{hub}/commits/main into corpus.revision",
        )
    return revision


def hub_rows(
    hub: str,
    *,
    revision: str | None,
    config: str | None,
    data_files: Mapping[str, str],
    split: str | None,
    columns: list[str],
    where: str,
) -> Iterator[tuple[str, Iterable[tuple[int, str, Row]]]]:
    """Each split of a hub set and its rows as (number from 1, place for messages, values by column).

    Args:
        hub: owner/name of the set.
        revision: commit.
        config: configuration (subset), or None for the default one.
        data_files: split -> file; empty: as the set says.
        split: the split wanted, or None for all.
        columns: columns that must be there.
        where: corpus, for messages.

    Raises:
        UserError: no commit is named, the set or split is not there, its terms are not accepted, or a column lacks.
    """
    commit = check_commit(revision, hub=hub, where=where)
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    try:
        found = datasets.load_dataset(hub, config, revision=commit, data_files=dict(data_files) or None)
    except (datasets.exceptions.DatasetsError, HfHubHTTPError, OSError, ValueError) as error:
        raise UserError(
            f"the hub set {hub} cannot be had: {error}",
            where=where,
            cure="check name, config and revision; accept its terms on its page and set HF_TOKEN",
        ) from error
    for one in splits_to_read(split, found, corpus=where):
        need_columns(found[one].column_names, columns, where=f"{hub} {one}")
        yield one, ((number, f"{hub} {one} row {number}", row) for number, row in enumerate(found[one], start=1))
