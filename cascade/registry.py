"""The model registry: immutable bundles on disk, and the aliases that say which one is live.

A bundle is `<root>/<name>/<version>/{model.onnx, manifest.json}`; versions are integers from 1.
`<root>/<name>/aliases.json` maps `live`, `candidate` and `previous` to versions.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cascade.errors import ChecksumError, FingerprintError, InputError, NotFoundError, nearest
from cascade.features import build_features, difference
from cascade.rankers import OnnxRanker
from cascade.schema import Schema

FORMAT = 1
LIVE, CANDIDATE, PREVIOUS = "live", "candidate", "previous"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")


@dataclass(frozen=True)
class Manifest:
    """Say what a model is and what it was trained on.

    Attributes:
        name: The bundle's name.
        version: Its version, from 1.
        kind: What was fitted: "linear", "trees".
        features: The full definition of each feature, in the order of the graph's input.
        fingerprint: The feature set's fingerprint.
        model_sha256: The checksum of `model.onnx`.
        data: What it was trained on: checksum of the judgments, counts, engine.
        training: The settings and outcome of the fit.
        parity: What the parity gate measured.
        measures: The measures it was accepted with.
        trained_queries: Digests of the query texts it has seen, for held-out evaluation.
        engine_bound: The features that change with the engine.
        created: Seconds since 1970.
        format: The form of this manifest.
    """

    name: str
    version: int
    kind: str
    features: list[dict[str, Any]]
    fingerprint: str
    model_sha256: str
    data: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)
    measures: Mapping[str, Any] = field(default_factory=dict)
    trained_queries: list[str] = field(default_factory=list)
    engine_bound: list[str] = field(default_factory=list)
    created: float = 0.0
    format: int = FORMAT

    def digest(self) -> str:
        """Return the SHA-256 of the manifest's own content."""
        return hashlib.sha256(_canonical(asdict(self))).hexdigest()


@dataclass(frozen=True)
class Bundle:
    """Hold a model whose bytes were checked against its manifest."""

    manifest: Manifest
    model: bytes
    path: Path

    @property
    def label(self) -> str:
        """Return name/version."""
        return f"{self.manifest.name}/{self.manifest.version}"

    def ranker(self, schema: Schema) -> OnnxRanker:
        """Return the ranker of this model over a schema's documents.

        Raises:
            FingerprintError: If its features cannot be made as they were in training, naming
                the first that differs.
        """
        features = build_features(self.manifest.features, schema, source=str(self.path))
        if features.fingerprint != self.manifest.fingerprint:
            differing = difference(self.manifest.features, features.definitions())
            what = "; ".join(differing) or "the analysis of its text fields"
            raise FingerprintError(
                f"{self.label} was trained on other features than this installation makes: "
                f"{what}. Train it again, or serve it with the release that trained it"
            )
        return OnnxRanker(self.model, features)


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
        try:
            raw = json.loads((self.root / name / "aliases.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            message = f"{self.root / name / 'aliases.json'} is not valid JSON: {error}"
            raise ChecksumError(message) from None
        return {str(alias): int(version) for alias, version in raw.items()}

    def save(self, model: bytes, describe: Callable[[int, str], Manifest], name: str) -> Bundle:
        """Write a new version; it is there whole or not at all.

        Args:
            model: The serialised graph.
            describe: Makes the manifest from the version and the model's checksum.
            name: The bundle's name.

        Raises:
            InputError: If the name cannot be a folder's.
        """
        if not _NAME.match(name):
            raise InputError(f"{name!r} is no model name; accepted are letters, digits, '_.-'")
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        try:
            _write(staged / "model.onnx", model)
            while True:
                version = max(self.versions(name), default=0) + 1
                manifest = describe(version, hashlib.sha256(model).hexdigest())
                content = {**asdict(manifest), "digest": manifest.digest()}
                _write(staged / "manifest.json", json.dumps(content, indent=1).encode())
                try:
                    staged.chmod(0o755)
                    staged.rename(folder / str(version))
                except OSError:
                    if (folder / str(version)).exists():
                        continue
                    raise
                return Bundle(manifest, model, folder / str(version))
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def point(self, name: str, alias: str, version: int) -> None:
        """Let an alias name a version; a former live one becomes `previous`.

        Raises:
            NotFoundError: If there is no such version.
        """
        if version not in self.versions(name):
            known = map(str, self.versions(name))
            raise NotFoundError(f"there is no {name}/{version}: {nearest(str(version), known)}")
        aliases = self.aliases(name)
        if alias == LIVE and aliases.get(LIVE) not in (None, version):
            aliases[PREVIOUS] = aliases[LIVE]
        aliases[alias] = version
        path = self.root / name / "aliases.json"
        staged = path.with_name(f".aliases-{os.getpid()}.json")
        _write(staged, json.dumps(aliases, indent=1).encode())
        staged.replace(path)

    def load(self, reference: str) -> Bundle:
        """Return a bundle after checking every byte of it.

        Args:
            reference: `name` (its live version), `name@alias` or `name@version`.

        Raises:
            NotFoundError: If there is no such name, alias or version.
            ChecksumError: If model or manifest are not the bytes that were written.
        """
        name, _, which = reference.partition("@")
        versions = self.versions(name)
        if not versions:
            raise NotFoundError(
                f"there is no model {name!r} in {self.root}; {nearest(name, self.names())}"
            )
        aliases = self.aliases(name)
        version = int(which) if which.isdigit() else aliases.get(which or LIVE)
        if version not in versions:
            valid = [*map(str, versions), *aliases]
            raise NotFoundError(
                f"model {name!r} has no version {which or LIVE!r}; {nearest(which, valid)}"
            )
        return _load(self.root / name / str(version))


def text_digest(text: str) -> str:
    """Return 16 hexadecimal digits that stand for a query text, case and spaces aside."""
    return hashlib.sha256(" ".join(text.casefold().split()).encode()).hexdigest()[:16]


def _load(path: Path) -> Bundle:
    try:
        content = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        model = (path / "model.onnx").read_bytes()
        promised = content.pop("digest")
        manifest = Manifest(**content)
    except FileNotFoundError as error:
        raise ChecksumError(f"{path} is not whole: {error.filename} is missing") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{path / 'manifest.json'} is damaged: {error}; restore or train it again"
        raise ChecksumError(message) from None
    if manifest.digest() != promised:
        raise ChecksumError(
            f"{path / 'manifest.json'} was changed after it was written; "
            "restore it or train the model again"
        )
    if (manifest.name, str(manifest.version)) != (path.parent.name, path.name):
        raise ChecksumError(
            f"{path} holds the bundle {manifest.name}/{manifest.version}: it was copied or moved; "
            "put it back, or train the model again"
        )
    found = hashlib.sha256(model).hexdigest()
    if found != manifest.model_sha256:
        raise ChecksumError(
            f"{path / 'model.onnx'} ({len(model):,} bytes) has the checksum {found[:12]}…, its "
            f"manifest says {manifest.model_sha256[:12]}…; restore it or train the model again"
        )
    return Bundle(manifest, model, path)


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
