"""A host whose indexes are files of lines, durable batch by batch as a server's are.

It searches nothing: it is for tests of what brings documents into an index.
"""

import json
import os
import re
import time
import uuid
from pathlib import Path

from cascade.errors import EngineUnavailableError, NotFoundError, RefusedError
from cascade.hosting import BulkOptions, IndexState, Rejected

OPTIONS = BulkOptions()


class Answering:
    """An engine that only says that it is there."""

    def healthy(self):
        return True

    def close(self):
        pass


class FolderWriter:
    """Append batches; a document whose title holds "unwanted" is refused for what it is."""

    def __init__(self, host, path, options):
        self.host, self.path, self.options = host, path, options
        self.acknowledged, self.rejected, self.seen = options.skip, [], 0
        self.batch = []

    def add(self, row, document, tokens):
        self.seen += 1
        if self.seen > self.options.skip:
            self.batch.append((row, document))
        if len(self.batch) >= self.options.documents:
            self.send()

    def send(self):
        if self.host.batches_left == 0:
            raise EngineUnavailableError("the node is gone")
        self.host.batches_left -= 1
        time.sleep(self.host.delay_s)
        with self.path.open("ab") as stream:
            for row, document in self.batch:
                if "unwanted" in str(document.raw.get("title")):
                    self.rejected.append(Rejected(document.id, row, "mapper: unwanted"))
                    continue
                stream.write(json.dumps([row, document.id, document.raw]).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.host.sent.extend(row for row, _ in self.batch)
        self.acknowledged += len(self.batch)
        self.batch = []

    def finish(self):
        self.send()

    def abandon(self):
        self.batch = []


class FolderHost:
    """Keep `<root>/<name>/about.json` and `documents`, the later line of an id counting.

    `batches_left` requests are answered before the node is gone; below 0 it never is.
    """

    kind = "folder"

    def __init__(self, root: Path, batches_left: int = -1, delay_s: float = 0.0):
        self.root, self.batches_left, self.delay_s = root, batches_left, delay_s
        self.sent = []

    def create(self, place, schema, about):
        folder = self.root / place.name
        if folder.exists():
            raise RefusedError(f"{place.name} is there already")
        folder.mkdir(parents=True)
        (folder / "documents").touch()
        content = {"identity": uuid.uuid4().hex, "about": dict(about)}
        (folder / "about.json").write_text(json.dumps(content))

    def open_writer(self, place, schema, options=OPTIONS):
        return FolderWriter(self, self.root / place.name / "documents", options)

    def rows(self, name):
        """Return what is in an index: row and raw document by id."""
        found = {}
        with (self.root / name / "documents").open() as stream:
            for line in stream:
                if line.endswith("\n"):
                    row, doc_id, raw = json.loads(line)
                    found[doc_id] = (row, raw)
        return found

    def state(self, place):
        try:
            told = json.loads((self.root / place.name / "about.json").read_text())
        except FileNotFoundError:
            raise NotFoundError(f"there is no {place.name}") from None
        return IndexState(len(self.rows(place.name)), 0, told["identity"], told["about"])

    def names(self, index):
        if not self.root.is_dir():
            return []
        pattern = re.compile(re.escape(index) + r"-\d{6}\Z")
        return sorted(p.name for p in self.root.iterdir() if pattern.match(p.name))

    def drop(self, place):
        for name in ("about.json", "documents"):
            (self.root / place.name / name).unlink(missing_ok=True)
        if (self.root / place.name).is_dir():
            (self.root / place.name).rmdir()

    def target(self, alias):
        if (self.root / alias).is_dir():
            return alias
        pointer = self.root / f"{alias}.alias"
        return pointer.read_text() if pointer.is_file() else None

    def point(self, alias, place):
        (self.root / f"{alias}.alias").write_text(place.name)

    def documents(self, name, batch=2):
        found = [raw for _, raw in self.rows(name).values()]
        for at in range(0, len(found), batch):
            yield found[at : at + batch]

    def engine(self, place, schema, documents):
        return Answering()

    def close(self):
        pass
