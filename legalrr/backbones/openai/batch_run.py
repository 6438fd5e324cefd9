"""The batches that one run of an engine awaits: made by it, or by a run that was killed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from openai.types import Batch

from legalrr.backbones.openai.batch_interface import BatchInterface
from legalrr.backbones.openai.batch_records import BatchRecord, BatchRecords
from legalrr.errors import UserError
from legalrr.protocols import Call

LOG = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 2.0, 60.0
"""Seconds between two looks at the batches under way: at first, and at most."""


@dataclass(eq=False)
class OpenBatch:
    """A batch that is awaited."""

    record: BatchRecord
    calls: dict[str, Call]
    """The calls of this run, by key."""
    shown: str = ""

    def show(self, batch: Batch) -> None:
        """Log the state of the batch if it has changed."""
        counts = batch.request_counts
        state = (
            batch.status if counts is None else f"{batch.status}, {counts.completed} of {counts.total} requests done"
        )
        if counts is not None and counts.failed:
            state += f", {counts.failed} failed"
        if state != self.shown:
            LOG.info("batch %s: %s", batch.id, state)
        self.shown = state


@dataclass(eq=False)
class BatchRun:
    """The batches that are awaited, and their records."""

    interface: BatchInterface
    records: BatchRecords
    batches: list[OpenBatch] = field(default_factory=list)
    set_aside: list[Call] = field(default_factory=list)
    """Calls to be sent when another batch has ended."""
    _wait: float = FIRST_WAIT

    def add(self, record: BatchRecord, calls: Sequence[Call]) -> None:
        """Await the answers to calls from a recorded batch."""
        self._wait = FIRST_WAIT
        for one in self.batches:
            if one.record.file == record.file:
                one.calls |= {call.key: call for call in calls}
                return
        self.batches.append(OpenBatch(record, {call.key: call for call in calls}))

    def adopt(self, calls: Sequence[Call], url: str) -> list[Call]:
        """Await the answers to calls of recorded batches, those of killed runs; return the other calls.

        Args:
            calls: the calls.
            url: base URL of the server.

        Raises:
            UserError: the batch of a call is at another server.
        """
        wanted = {call.key: call for call in calls}
        for record in self.records.read() if wanted else ():
            found = [wanted[key] for key in record.keys if key in wanted]
            if not found:
                continue
            if record.url != url:
                path = self.records.path(record)
                raise UserError(
                    f"a batch with {len(found)} of these calls was made at {record.url}",
                    where="backbone.base_url",
                    cure=f"use that URL, or delete {path} to make, and pay, the calls again",
                )
            whole = self._complete(record)
            if whole is None:
                continue
            LOG.info("batch %s of an earlier run has %d of these calls", whole.batch, len(found))
            self.add(whole, found)
            for call in found:
                del wanted[call.key]
        return list(wanted.values())

    def forget(self, one: OpenBatch) -> None:
        """Delete the record of a batch; if it has calls of another run, those stay recorded."""
        self.records.write(replace(one.record, keys=[key for key in one.record.keys if key not in one.calls]))

    def next_wait(self) -> float:
        """Return the seconds until the next look; they grow until a batch is made."""
        wait, self._wait = self._wait, min(1.5 * self._wait, LONGEST_WAIT)
        return wait

    def _complete(self, record: BatchRecord) -> BatchRecord | None:
        """Return a record with the id of its batch; delete it and return None if the batch was never made."""
        if record.batch is not None:
            return record
        batch = self.interface.find(record.file)
        whole = replace(record, keys=()) if batch is None else replace(record, batch=batch.id)
        self.records.write(whole)
        return None if batch is None else whole
