"""OpenAI's batch interface: a file of requests, a batch made from it, its state, its files of answers and errors."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import httpx2
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    AuthenticationError,
    DefaultHttpxClient,
    InternalServerError,
    NotFoundError,
    OpenAI,
    RateLimitError,
)
from openai.types import Batch

from legalrr.backbones.openai.replies import RESUME, UNREACHABLE, Server, no_answer, redact, server_words
from legalrr.errors import UserError

ENDED = ("completed", "failed", "expired", "cancelled")
"""States of a batch that do not change."""
NO_INTERFACE = (httpx2.codes.NOT_FOUND, httpx2.codes.METHOD_NOT_ALLOWED, httpx2.codes.NOT_IMPLEMENTED)
"""Statuses of a server without batches."""
TRANSIENT = (APIConnectionError, InternalServerError, RateLimitError)
"""Errors that another attempt may mend."""
LOOKED_THROUGH = 1000
"""Most batches, from the latest on, among which one is looked for."""
OLD_SECONDS = 7 * 24 * 3600
"""Age of the batches at which the search ends: a batch is made a moment after its file."""
SEARCH_SECONDS = 2.0
"""Seconds before a batch that may have been made is looked for."""


class BatchInterface:
    """Batches of one server.

    Args:
        server: the server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._client = OpenAI(
            # Without a key the package would send OpenAI's, from the environment, to any server.
            api_key=server.key() or "none",
            base_url=server.base_url,
            timeout=server.timeout,
            max_retries=server.retries,
            http_client=DefaultHttpxClient(),
        )

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def upload(self, lines: bytes) -> str:
        """Upload the JSON lines of requests; return the id of the file."""
        try:
            return self._client.files.create(file=("legalrr.jsonl", lines), purpose="batch").id
        except APIError as error:
            self._fail(error)

    def make(self, file: str, endpoint: str) -> Batch:
        """Make a batch once, also if a connection is lost.

        Args:
            file: id of the file of requests.
            endpoint: path of the requests.
        """
        for attempt in range(self._server.retries + 1):
            try:
                if attempt and (found := self._find(file)):
                    return found
                # Another attempt after a lost connection might make, and cost, a second batch.
                return self._client.with_options(max_retries=0).batches.create(
                    input_file_id=file,
                    endpoint=endpoint,  # type: ignore[arg-type]
                    completion_window="24h",
                )
            except TRANSIENT as error:
                if attempt == self._server.retries:
                    self._fail(error)
                time.sleep(SEARCH_SECONDS)
            except APIError as error:
                self._fail(error)
        raise AssertionError("unreachable")

    def find(self, file: str) -> Batch | None:
        """Return the batch that was made from a file of requests, None if there is none."""
        try:
            return self._find(file)
        except APIError as error:
            self._fail(error)

    def state(self, id: str, record: Path | None) -> Batch:
        """Return the present state of a batch.

        Args:
            id: its id.
            record: the file that records it, for messages.

        Raises:
            APIConnectionError, InternalServerError, RateLimitError: not now.
            UserError: the server does not know it, or another error.
        """
        try:
            return self._client.batches.retrieve(id)
        except TRANSIENT:
            raise
        except APIError as error:
            self._fail(error, batch=id, record=record)

    def lines(self, batch: Batch, record: Path | None) -> Iterator[Mapping[str, Any]]:
        """Yield the answers and errors of a batch that has ended; a line that is not JSON is left out.

        Args:
            batch: the batch.
            record: the file that records it, for messages.
        """
        for file in (batch.output_file_id, batch.error_file_id):
            if file is None:
                continue
            try:
                content = self._client.files.content(file).content
            except APIError as error:
                self._fail(error, batch=batch.id, record=record)
            for line in content.split(b"\n"):
                try:
                    found = json.loads(line)
                except ValueError:
                    continue
                if isinstance(found, dict):
                    yield found

    def status_error(self, response: httpx2.Response) -> APIStatusError:
        """Return the error that the client would raise for a response."""
        return self._client._make_status_error_from_response(response)

    def transient(self, error: APIError) -> UserError:
        """Return the error for a server that still does not answer."""
        cause = error.__cause__ or error
        what = no_answer(cause, self._server, retries=self._server.retries)
        return UserError(what, where="backbone.base_url", cure=UNREACHABLE)

    def _find(self, file: str) -> Batch | None:
        for count, batch in enumerate(self._client.batches.list(limit=100)):
            if batch.input_file_id == file:
                return batch
            if count == LOOKED_THROUGH or time.time() - batch.created_at > OLD_SECONDS:
                break
        return None

    def _fail(self, error: APIError, batch: str | None = None, record: Path | None = None) -> NoReturn:
        url = self._server.base_url
        if isinstance(error, TRANSIENT):
            raise self.transient(error) from None
        if isinstance(error, AuthenticationError):
            raise UserError(
                f"{url} refuses the key, or requests without one (401)",
                where="backbone.api_key_env",
                cure=f"check the environment variable; {RESUME}",
            ) from None
        words = redact(server_words(error.response), self._server) if isinstance(error, APIStatusError) else str(error)
        if batch is not None and isinstance(error, NotFoundError):
            raise UserError(
                f"{url} does not find batch {batch}, or a file of it: {words}",
                where="backbone.batch",
                cure=f"use the key and the project that made it, or delete {record} to make, and pay, its calls again",
            ) from None
        if isinstance(error, APIStatusError) and error.status_code in NO_INTERFACE:
            raise UserError(
                f"{url} has no batch interface ({error.status_code}): {words}",
                where="backbone.batch",
                cure="use backbone.batch=false",
            ) from None
        status = f" ({error.status_code})" if isinstance(error, APIStatusError) else ""
        raise UserError(
            f"{url} refuses the batch{status}: {words}", where="backbone.batch", cure="use backbone.batch=false"
        ) from None
