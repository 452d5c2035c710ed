"""From product files to analysed documents, in this process or in one beside it.

Reading, checking and analysing take about half of a build's time. With a second core a process of
its own does them, and hands blocks of plain data over a pipe; the documents, their order and their
errors are the same either way.
"""

from __future__ import annotations

import marshal
import multiprocessing
import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cascade.errors import DocumentError, InputError
from cascade.indexing.dead_letters import Given, OnError, Quarantine
from cascade.indexing.meter import Meter
from cascade.indexing.sources import read_products
from cascade.schema import Document, Kind, Schema
from cascade.text import analyser

BLOCK_DOCUMENTS = 256
BLOCKS_AHEAD = 8
Tokens = dict[str, list[str]]
_DOCUMENT, _LEFT_OUT, _FAILED, _READ = range(4)


@dataclass(frozen=True, slots=True)
class Analysed:
    """Hold one document, its terms by text field, and where it stood."""

    place: str
    document: Document
    tokens: Tokens


def read_analysed(
    inputs: Sequence[Path],
    schema: Schema,
    quarantine: Quarantine,
    *,
    meter: Meter | None = None,
    beside: bool = False,
) -> Generator[Analysed, None, None]:
    """Yield the documents of product files, checked and analysed, in order.

    Args:
        inputs: Files, of the forms that `sources` reads.
        schema: The fields.
        quarantine: Takes the lines that cannot be used.
        meter: Told how much was read.
        beside: Whether a process of its own does the work. It is spawned, so the caller's main
            module must be one that can be imported again.

    Raises:
        DocumentError: For a bad line that is refused, or a file that cannot be read.
    """
    meter = Meter(inputs) if meter is None else meter
    if not beside:
        yield from _read_here(inputs, schema, quarantine, meter)
        return
    with closing(_read_beside(inputs, schema)) as items:
        for kind, *item in items:
            if kind == _DOCUMENT:
                place, tokens, *document = item
                yield Analysed(place, Document(*document), tokens)
            elif kind == _READ:
                meter.tell(item[0])
            elif kind == _LEFT_OUT:
                quarantine.put(*item)
            else:
                raise DocumentError(item[0])


def _read_here(
    inputs: Sequence[Path], schema: Schema, quarantine: Quarantine, meter: Meter
) -> Iterator[Analysed]:
    analysers = {f.name: analyser(f.analyser, f.synonyms) for f in schema.of_kind(Kind.TEXT)}
    for path in inputs:
        for place, raw in read_products(path, quarantine, meter):
            try:
                document = schema.document(raw)
            except DocumentError as error:
                quarantine.put(place, str(error), raw)
                continue
            tokens = {
                name: analysers[name].tokens_of(values) for name, values in document.texts.items()
            }
            yield Analysed(place, document, tokens)


class _Forwarded(Quarantine):
    """Collect what is left out, to be judged by the process that builds."""

    def __init__(self, block: list[tuple[Any, ...]]) -> None:
        super().__init__(OnError.SKIP)
        self.block = block

    def put(self, place: str, reason: str, given: Given = None) -> None:
        self.block.append((_LEFT_OUT, place, reason, given))


def _work(inputs: Sequence[Path], schema: Schema, sender: Connection) -> None:
    block: list[tuple[Any, ...]] = []
    meter = Meter(inputs)
    try:
        for found in _read_here(inputs, schema, _Forwarded(block), meter):
            d = found.document
            fields = (d.id, d.texts, d.keywords, d.numbers, d.vectors, d.raw)
            block.append((_DOCUMENT, found.place, found.tokens, *fields))
            if len(block) >= BLOCK_DOCUMENTS:
                block.append((_READ, meter.read()))
                sender.send_bytes(marshal.dumps(block))
                block.clear()
    except InputError as error:
        block.append((_FAILED, str(error)))
    except (BrokenPipeError, KeyboardInterrupt):
        return
    block.append((_READ, meter.read()))
    sender.send_bytes(marshal.dumps(block))
    sender.send_bytes(b"")


def _read_beside(inputs: Sequence[Path], schema: Schema) -> Generator[tuple[Any, ...], None, None]:
    """Yield what the process beside this one sends; it ends with the iterator."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=_work, args=(list(inputs), schema, sender), daemon=True)
    worker.start()
    sender.close()
    blocks: queue.Queue[bytes | None] = queue.Queue(BLOCKS_AHEAD)
    reading = threading.Thread(target=_receive, args=(receiver, blocks), daemon=True)
    reading.start()
    try:
        while (block := blocks.get()) != b"":
            if block is None:
                raise DocumentError("the process that reads the product files ended too early")
            yield from marshal.loads(block)
    finally:
        worker.terminate()
        worker.join()
        # What the thread still holds must not keep it from seeing that the pipe is closed.
        while reading.is_alive():
            try:
                blocks.get(timeout=0.05)
            except queue.Empty:
                continue
        receiver.close()


def _receive(receiver: Connection, blocks: queue.Queue[bytes | None]) -> None:
    try:
        while True:
            block = receiver.recv_bytes()
            blocks.put(block)
            if block == b"":
                return
    except (EOFError, OSError):
        blocks.put(None)
