"""The registry: bundles in folders, and the aliases that say which version is which.

A bundle is `<root>/<name>/<version>/{model.onnx, manifest.json}`; versions are integers from 1.
`<root>/<name>/aliases.json` maps `live`, `candidate` and `previous` to versions.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from cascade.errors import InputError, NotFoundError, RefusedError, nearest
from cascade.registry.aliases import Aliases, read_aliases, switch_aliases
from cascade.registry.bundles import (
    MANIFEST,
    MODEL,
    Bundle,
    Manifest,
    read_bundle,
    write_file,
)

LIVE: Final = "live"
CANDIDATE: Final = "candidate"
PREVIOUS: Final = "previous"
Models = Literal["live", "candidate"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
_NO_FILES: Mapping[str, bytes] = {}


class Registry:
    """Keep bundles under a folder.

    Args:
        root: The folder; made when the first bundle is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Return the names that have at least one version."""
        if not self.root.is_dir():
            return []
        return sorted(p.name for p in self.root.iterdir() if p.is_dir() and self.versions(p.name))

    def versions(self, name: str) -> list[int]:
        """Return the versions of a name, ascending."""
        folder = self.root / name
        if not folder.is_dir():
            return []
        return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())

    def aliases(self, name: str) -> dict[str, int]:
        """Return the version behind each alias of a name."""
        return read_aliases(self.root, [name])[name]

    def save(
        self,
        model: bytes,
        describe: Callable[[int, str], Manifest],
        name: str,
        files: Mapping[str, bytes] = _NO_FILES,
    ) -> Bundle:
        """Write a new version; it is there whole or not at all.

        Args:
            model: The serialised graph.
            describe: Makes the manifest from the version and the model's checksum.
            name: The bundle's name.
            files: Further files to keep in the bundle, by name; their checksums join the manifest.

        Raises:
            InputError: If the name cannot be a folder's.
        """
        if not _NAME.match(name):
            raise InputError(f"{name!r} is no model name; accepted are letters, digits, '_.-'")
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        sums = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
        try:
            write_file(staged / MODEL, model)
            for file, content in files.items():
                write_file(staged / file, content)
            while True:
                version = max(self.versions(name), default=0) + 1
                described = describe(version, hashlib.sha256(model).hexdigest())
                manifest = replace(described, files=sums)
                write_file(staged / MANIFEST, manifest.written())
                try:
                    staged.chmod(0o755)
                    staged.rename(folder / str(version))
                except OSError:
                    if (folder / str(version)).exists():
                        continue
                    raise
                return Bundle(manifest, model, folder / str(version), dict(files))
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def point(self, name: str, alias: str, version: int) -> None:
        """Let an alias name a version; a former live one becomes `previous`.

        Raises:
            NotFoundError: If there is no such version.
        """
        self._known(name, version)

        def pointed(before: Mapping[str, Aliases]) -> dict[str, Aliases]:
            aliases = dict(before[name])
            if alias == LIVE and aliases.get(LIVE) not in (None, version):
                aliases[PREVIOUS] = aliases[LIVE]
            aliases[alias] = version
            return {name: aliases}

        switch_aliases(self.root, [name], pointed)

    def promote(self, versions: Mapping[str, int], over: Mapping[str, int | None]) -> None:
        """Make versions live, all of them or none; what was live becomes `previous`.

        A name's candidate that became live is no candidate any more.

        Args:
            versions: The version of each name that changes.
            over: The version of each name of the cascade that they were compared with. Those of
                names that do not change become `previous` as well, so that a rollback restores
                the cascade as it was.

        Raises:
            NotFoundError: If there is no such version.
            RefusedError: If something else has become live meanwhile.
        """
        for name, version in versions.items():
            self._known(name, version)
        names = [*over, *(name for name in versions if name not in over)]

        def promoted(before: Mapping[str, Aliases]) -> dict[str, Aliases]:
            for name, version in over.items():
                if before[name].get(LIVE) != version:
                    raise RefusedError(
                        f"{name}/{before[name].get(LIVE)} became live while {name}/{version} was "
                        "compared with; run the gate again"
                    )
            after = {name: dict(before[name]) for name in names}
            for name, aliases in after.items():
                if LIVE in aliases:
                    aliases[PREVIOUS] = aliases[LIVE]
                if name in versions:
                    aliases[LIVE] = versions[name]
                    if aliases.get(CANDIDATE) == versions[name]:
                        del aliases[CANDIDATE]
            return after

        switch_aliases(self.root, names, promoted)

    def rollback(self, names: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Let `live` and `previous` change places, for all names or none.

        Returns:
            What was and what is live, for each name.

        Raises:
            NotFoundError: If a name has no previous version, or it is gone.
        """
        wanted, moved = list(names), dict[str, tuple[int, int]]()

        def rolled(before: Mapping[str, Aliases]) -> dict[str, Aliases]:
            after = {}
            for name in wanted:
                aliases = before[name]
                if PREVIOUS not in aliases or LIVE not in aliases:
                    raise NotFoundError(
                        f"model {name!r} has no previous version to go back to; a promotion "
                        "over a live one makes it"
                    )
                self._known(name, aliases[PREVIOUS])
                moved[name] = aliases[LIVE], aliases[PREVIOUS]
                after[name] = {**aliases, LIVE: aliases[PREVIOUS], PREVIOUS: aliases[LIVE]}
            return after

        switch_aliases(self.root, wanted, rolled)
        return moved

    def resolved(self, references: Iterable[str], models: Models = "live") -> list[str]:
        """Return each reference as `name@version`, all of them as of one moment.

        Args:
            references: `name`, `name@alias` or `name@version`.
            models: With "candidate", a bare name that has a candidate means that one; else it
                means the live version.

        Raises:
            NotFoundError: If there is no such name, alias or version.
        """
        parts = [reference.partition("@") for reference in references]
        aliases = read_aliases(self.root, {name for name, _, _ in parts})
        found = []
        for name, _, which in parts:
            default = CANDIDATE if models == CANDIDATE and CANDIDATE in aliases[name] else LIVE
            found.append(f"{name}@{self._version(name, which or default, aliases[name])}")
        return found

    def load(self, reference: str) -> Bundle:
        """Return a bundle after checking every byte of it.

        Args:
            reference: `name` (its live version), `name@alias` or `name@version`.

        Raises:
            NotFoundError: If there is no such name, alias or version.
            ChecksumError: If model or manifest are not the bytes that were written.
        """
        name, _, version = self.resolved([reference])[0].partition("@")
        return read_bundle(self.root / name / version)

    def _version(self, name: str, which: str, aliases: Mapping[str, int]) -> int:
        versions = self.versions(name)
        if not versions:
            raise NotFoundError(
                f"there is no model {name!r} in {self.root}; {nearest(name, self.names())}"
            )
        version = int(which) if which.isdigit() else aliases.get(which)
        if version is None or version not in versions:
            valid = [*map(str, versions), *aliases]
            raise NotFoundError(f"model {name!r} has no version {which!r}; {nearest(which, valid)}")
        return version

    def _known(self, name: str, version: int) -> None:
        if version not in self.versions(name):
            known = map(str, self.versions(name))
            raise NotFoundError(f"there is no {name}/{version}: {nearest(str(version), known)}")


def reference_of(label: str) -> str:
    """Return what `Registry.load` takes, `name@version`, for a label, `name/version`."""
    return label.replace("/", "@")


def text_digest(text: str) -> str:
    """Return 16 hexadecimal digits that stand for a query text, case and spaces aside."""
    return hashlib.sha256(" ".join(text.casefold().split()).encode()).hexdigest()[:16]
