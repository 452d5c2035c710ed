"""The request log: a folder of Parquet files, one row a request.

A file is there whole or not at all; what is still being written has another suffix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cascade.errors import InputError, NotFoundError
from cascade.events.request_columns import ids_in, requests_in
from cascade.events.requests import LoggedRequest, share_of

SUFFIX = ".parquet"


@dataclass(frozen=True)
class RequestLog:
    """Read the requests of a folder.

    Attributes:
        root: The folder.
    """

    root: Path

    def files(self) -> list[Path]:
        """Return the files in the order they were written.

        Raises:
            NotFoundError: If there is none.
        """
        found = sorted(self.root.glob(f"*{SUFFIX}"))
        if not found:
            raise NotFoundError(
                f"{self.root} holds no request log; `cascade serve` writes one where "
                "`log.path` names a folder"
            )
        return found

    def requests(self, query_id: str | None = None) -> Iterator[LoggedRequest]:
        """Yield the requests, a few in memory at a time.

        Args:
            query_id: Those of this query alone.

        Raises:
            NotFoundError: If there is no log.
            InputError: If a file is no request log.
            OptionalDependencyError: If pyarrow is not installed.
        """
        for path in self.files():
            yield from requests_in(path, query_id)

    def sample(self, count: int) -> list[LoggedRequest]:
        """Return `count` requests, those with the least hashes of their ids: the same each time.

        Raises:
            InputError: If the count is not positive.
        """
        if count < 1:
            raise InputError(f"a sample of {count} requests; accepted is 1 or more")
        places = [
            (share_of(query_id, "sample"), number, row)
            for number, path in enumerate(self.files())
            for row, query_id in enumerate(ids_in(path))
        ]
        wanted = {(number, row) for _, number, row in sorted(places)[:count]}
        return list(self._at(wanted))

    def _at(self, places: set[tuple[int, int]]) -> Iterator[LoggedRequest]:
        for number, path in enumerate(self.files()):
            rows = {row for file, row in places if file == number}
            if rows:
                yield from requests_in(path, rows=rows)
