"""Steps that depend on one another, run in order and recorded, so that a killed run goes on."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal

from cascade.errors import CascadeError, InputError, RefusedError, nearest
from cascade.workflows.alone import alone

Status = Literal["done", "kept", "refused", "failed", "not run"]
Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Step:
    """Describe one step.

    Attributes:
        name: Unique within the run.
        run: Does the work, given the results of the steps before it; returns plain data.
        inputs: What the outcome depends on besides the steps before it, as plain data: while it
            stays the same, a result that is recorded is kept.
        after: The steps that must be done first.
    """

    name: str
    run: Callable[[Results], Mapping[str, Any]]
    inputs: Mapping[str, Any]
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepRecord:
    """Tell what became of a step.

    Attributes:
        name: The step.
        key: A digest of its inputs and of the keys of the steps before it.
        status: "done" in this run, "kept" from an earlier one, "refused", "failed", "not run".
        seconds: How long it took.
        finished: Seconds since 1970.
        result: What it returned.
        reason: Why it was refused or failed.
        exit_code: What a command ends with for that reason.
    """

    name: str
    key: str
    status: Status
    seconds: float = 0.0
    finished: float = 0.0
    result: Mapping[str, Any] | None = None
    reason: str = ""
    exit_code: int = 0


def run_steps(
    steps: Sequence[Step],
    folder: Path,
    *,
    again: Sequence[str] = (),
    told: Callable[[StepRecord], None] = lambda record: None,
) -> tuple[StepRecord, ...]:
    """Run steps in an order in which each comes after those it needs.

    Each step's record is written when it is done. A later run keeps it while the step's inputs and
    everything before it are the same, so a run that was killed goes on with the step it was at.
    What comes after a step that was refused or failed is not run.

    Args:
        steps: The steps.
        folder: Where the records are; one run at a time may use it.
        again: Steps to run whatever is recorded, and with them what comes after.
        told: Told each record as it comes.

    Returns:
        A record for each step, in the order they were run.

    Raises:
        InputError: If a step is unknown, the steps go in a circle, or another run is under way.
    """
    by_name = {step.name: step for step in steps}
    unknown = [name for name in again if name not in by_name]
    if unknown:
        raise InputError(f"there is no step {unknown[0]!r}; {nearest(unknown[0], by_name)}")
    order = _ordered(steps)
    found: dict[str, StepRecord] = {}
    with alone(folder):
        for name in order:
            step = by_name[name]
            before = [found[earlier] for earlier in step.after]
            if any(record.status not in ("done", "kept") for record in before):
                found[name] = StepRecord(name, "", "not run")
            else:
                key = _digest([name, step.inputs, [record.key for record in before]])
                kept = None if name in again else _kept(folder, name, key, before)
                found[name] = kept or _ran(step, key, found, folder)
            told(found[name])
    return tuple(found[name] for name in order)


def read_records(folder: Path) -> dict[str, StepRecord]:
    """Return the recorded steps of a folder, by name."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        record = _read(path)
        if record is not None:
            found[record.name] = record
    return found


def _ordered(steps: Sequence[Step]) -> list[str]:
    graph = {step.name: step.after for step in steps}
    strange = {earlier for step in steps for earlier in step.after} - set(graph)
    if strange:
        raise InputError(f"steps come after {', '.join(sorted(strange))}, which are no steps")
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise InputError(f"steps wait for one another: {' -> '.join(error.args[1])}") from None


def _kept(folder: Path, name: str, key: str, before: Sequence[StepRecord]) -> StepRecord | None:
    """Return the record of a step whose inputs are the same, and that no newer step precedes."""
    record = _read(folder / f"{name}.json")
    if record is None or record.status != "done" or record.key != key:
        return None
    if any(earlier.finished > record.finished for earlier in before):
        return None
    return StepRecord(**{**asdict(record), "status": "kept"})


def _ran(step: Step, key: str, found: Mapping[str, StepRecord], folder: Path) -> StepRecord:
    results = {name: r.result for name, r in found.items() if r.result is not None}
    start = time.perf_counter()
    status: Status = "done"
    result, reason, code = None, "", 0
    try:
        result = dict(step.run(results))
    except RefusedError as error:
        status, reason, code = "refused", str(error), error.exit_code
    except CascadeError as error:
        status, reason, code = "failed", str(error), error.exit_code
    seconds = time.perf_counter() - start
    record = StepRecord(step.name, key, status, seconds, time.time(), result, reason, code)
    _write(folder / f"{step.name}.json", record)
    return record


def _read(path: Path) -> StepRecord | None:
    """Return a record, None where there is none that can be read: the step is then run again."""
    try:
        return StepRecord(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, record: StepRecord) -> None:
    staged = path.with_name(f".{path.name}-{os.getpid()}")
    with staged.open("w", encoding="utf-8") as stream:
        json.dump(asdict(record), stream, indent=1, default=str)
        stream.flush()
        os.fsync(stream.fileno())
    staged.replace(path)


def _digest(content: object) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
