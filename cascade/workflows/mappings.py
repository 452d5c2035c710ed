"""What the schema of a configuration renders to, and whether its index is still like that."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade.config import Config, open_host, schema_of
from cascade.config.engines import shape_of
from cascade.engines.connection import IndexShape
from cascade.engines.mappings import SERVERS, differences, render
from cascade.errors import InputError, NotFoundError
from cascade.schema import load_schema


def rendered_schema(config: Config, kind: str | None = None) -> dict[str, Any]:
    """Return what a server is sent to make the index of a configuration.

    Args:
        config: The settings.
        kind: The server's kind; None takes that of the configuration.

    Raises:
        InputError: If there is nothing to render for this kind.
        ConfigError: If the schema is not sound.
    """
    kind = kind or config.settings.engine.kind
    return render(kind, schema_of(config), shape_of(config), {})


@dataclass(frozen=True)
class SchemaDiff:
    """Say where an index differs from its schema.

    Attributes:
        index: The concrete index that was looked at.
        differences: One line each; empty if it is as its schema says.
    """

    index: str
    differences: list[str]


def compare_schema(config: Config) -> SchemaDiff:
    """Compare the index behind a configuration's alias with what its schema renders to.

    Raises:
        NotFoundError: If there is no such index.
        InputError: If the engine has no mapping to compare with.
        EngineError: If the server fails.
    """
    settings = config.settings.engine
    rendered = rendered_schema(config)
    host = open_host(config)
    try:
        mapping: Callable[[str], Mapping[str, Any]] | None = getattr(host, "mapping", None)
        if mapping is None:
            raise InputError(f"the engine {settings.kind!r} has no mapping to compare with")
        name = host.target(settings.index)
        if name is None:
            raise NotFoundError(
                f"there is no index {settings.index!r} on the server; build one with "
                "`cascade index build`, or correct engine.index"
            )
        return SchemaDiff(name, differences(rendered, mapping(name)))
    finally:
        host.close()


def rendered_folder(mappings: Path) -> dict[Path, str]:
    """Return the content of each file under `rendered/` for the schemas of a folder.

    Args:
        mappings: A folder of schemas, one a file.

    Raises:
        ConfigError: If a schema is not sound.
    """
    files: dict[Path, str] = {}
    for path in sorted(mappings.glob("*.toml")):
        schema = load_schema(path)
        for kind in SERVERS:
            body = render(kind, schema, IndexShape(), {})
            name = mappings / "rendered" / kind / f"{path.stem}.json"
            files[name] = json.dumps(body, ensure_ascii=False, indent=1) + "\n"
    return files


def write_rendered(mappings: Path) -> list[Path]:
    """Write the files under `rendered/` anew and return them; others there are removed.

    Args:
        mappings: A folder of schemas, one a file.

    Raises:
        ConfigError: If a schema is not sound.
    """
    files = rendered_folder(mappings)
    for old in (mappings / "rendered").rglob("*.json"):
        if old not in files:
            old.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    return list(files)
