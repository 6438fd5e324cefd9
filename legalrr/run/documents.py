"""Documents of judgments: in a temporary file for the cells of this process, and in a store for later runs.

Hiding is most of the work between the roles of a judgment and its prompts. A stored document counts only if all that it
was built from is the same: the judgment, its roles, the tokens reserved for prompt and answers, the options of the
stage, the code that hides and, if tokens were counted, the backbone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from legalrr.page_images import image_pages
from legalrr.protocols import Restructurer
from legalrr.records import Document, Judgment, Segments
from legalrr.run.spooled import document_from_json, document_to_json, judgment_to_json, segments_to_json
from legalrr.spool import SpooledRecords
from legalrr.stage import description, digest
from legalrr.store import Store

BATCH = 256
"""Documents that are written to the store at once."""


@runtime_checkable
class StoredRestructurer(Restructurer, Protocol):
    """Restructurer whose documents are stored."""

    def provenance(self) -> Mapping[str, Any]:
        """Return all that documents depend on besides the description of the stage, such as a digest of its code."""


def document_store(cache: Path, stage: Restructurer, backbone: Mapping[str, Any] | None) -> Store | None:
    """Open the store of the documents of a stage; None if they are not stored.

    Args:
        cache: folder of stored results.
        stage: builds the documents.
        backbone: description of the backbone that counts tokens; None if there is no limit.
    """
    if not isinstance(stage, StoredRestructurer):
        return None
    key = {"stage": description(stage), "provenance": dict(stage.provenance()), "backbone": backbone}
    return Store(cache / "restructure" / digest(key)[:16], key)


def document_key(judgment: Judgment, segments: Segments, reserve: int) -> str:
    """Return the key of a document in its store: a digest of all of the judgment but the place of its file."""
    content = judgment_to_json(judgment)
    del content["source"]
    return digest([content, segments_to_json(segments), reserve])


class Documents:
    """Documents of the judgments of a corpus.

    Args:
        folder: of the temporary file.
        store: documents of all runs; None: those of this process only.
    """

    def __init__(self, folder: Path | None = None, store: Store | None = None) -> None:
        self._records = SpooledRecords[Mapping[str, Any]](lambda value: value, lambda id, value: value, folder)
        self._store = store
        self._unwritten: list[tuple[str, Mapping[str, Any]]] = []

    def __contains__(self, id: object) -> bool:
        """Whether `get` returns the document of the judgment with this id."""
        return id in self._records

    def get(self, judgment: Judgment) -> Document | None:
        """Return the document of a judgment that this process has used; None if there is none."""
        return document_from_json(judgment, self._records[judgment.id]) if judgment.id in self._records else None

    def find(self, judgment: Judgment, segments: Segments, reserve: int) -> Document | None:
        """Return the stored document of a judgment that `get` lacks; None if there is none."""
        if self._store is None or image_pages(judgment.pages):
            return None
        key = document_key(judgment, segments, reserve)
        if key not in self._store:
            return None
        value = self._store[key]
        self._records.add(judgment.id, value)
        return document_from_json(judgment, value)

    def add(self, judgment: Judgment, segments: Segments, reserve: int, document: Document) -> None:
        """Add the document of a judgment that has none; that of page images is not stored.

        Raises:
            UserError: it cannot be written.
        """
        value = document_to_json(judgment, document)
        self._records.add(judgment.id, value)
        if self._store is not None and not image_pages(judgment.pages):
            self._unwritten.append((document_key(judgment, segments, reserve), value))
            if len(self._unwritten) >= BATCH:
                self.write()

    def write(self) -> None:
        """Write to the store what is not in it yet; raises UserError if that fails."""
        if self._store is not None and self._unwritten:
            self._store.add(self._unwritten)
            self._unwritten = []
            self._store.close()
