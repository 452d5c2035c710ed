"""Aliases: which version of each name is live, switched for several names at once.

The aliases of a name stand in `<root>/<name>/aliases.json`. A switch of several names is written
to `<root>/.switch.json` first and from there into each name's own file; as long as that file is
there it is what readers believe, so its appearance is the one moment at which all names change.
Whoever switches next finishes a switch that was interrupted.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from cascade.errors import ChecksumError
from cascade.registry.bundles import write_file

Aliases: TypeAlias = dict[str, int]
SWITCH = ".switch.json"
_LOCK = ".lock"


def read_aliases(root: Path, names: Iterable[str]) -> dict[str, Aliases]:
    """Return the aliases of each name, all of them as of one moment.

    Raises:
        ChecksumError: If a file is not what was written.
    """
    wanted = sorted(set(names))
    found = _read(root, wanted)
    while len(wanted) > 1:
        again = _read(root, wanted)
        if again == found:
            break
        found = again
    return found


def switch_aliases(
    root: Path,
    names: Iterable[str],
    change: Callable[[Mapping[str, Aliases]], Mapping[str, Aliases]],
) -> None:
    """Give names other aliases, all of them or none.

    Args:
        root: The registry's folder.
        names: Which names to switch.
        change: Makes the new aliases of names from those of now; what it raises changes nothing.
    """
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root):
        _finish(root)
        after = change(_read(root, sorted(set(names))))
        _replaced(root / SWITCH, after)
        _finish(root)


def _finish(root: Path) -> None:
    """Write what a switch says into each name's own file."""
    pending = _json(root / SWITCH)
    if pending is None:
        return
    for name, aliases in pending.items():
        _replaced(root / name / "aliases.json", aliases)
    (root / SWITCH).unlink()


def _read(root: Path, names: Iterable[str]) -> dict[str, Aliases]:
    # The switch is read last: one that is finished meanwhile is in the names' own files only
    # after it was in the switch, and readers of several names look twice.
    own = {name: _json(root / name / "aliases.json") or {} for name in names}
    pending = _json(root / SWITCH) or {}
    return {
        name: {str(alias): int(version) for alias, version in pending.get(name, aliases).items()}
        for name, aliases in own.items()
    }


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ChecksumError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise ChecksumError(f"{path} holds {type(found).__name__}, not names and versions")
    return found


def _replaced(path: Path, content: Mapping[str, object]) -> None:
    staged = path.with_name(f".{path.name}-{os.getpid()}")
    write_file(staged, json.dumps(content, indent=1).encode())
    staged.replace(path)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    with (root / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
