"""Taking over a search that a team has: its index and its query become a configuration."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from cascade.config import load_config, open_host
from cascade.engines.adoption import Adoption, FoundAnalysis, FoundField, FoundQuery, detect
from cascade.engines.adoption import read_index as fields_of_index
from cascade.engines.adoption import read_search as parts_of_search
from cascade.errors import ConfigError, InputError
from cascade.schema import Kind, Schema, load_schema
from cascade.text import analyser
from cascade.workflows.blindness import Blindness, Sample, blindness, first_documents

_LINE = re.compile(r"^line (\d+):", re.MULTILINE)
CONFIG, SCHEMA, SEARCH = "cascade.toml", "schema.toml", "query.json"


@dataclass(frozen=True)
class Takeover:
    """Say what is taken over.

    Attributes:
        url: Where the server is.
        index: The index or alias that is searched.
        search: A file with the body of the team's search, in JSON.
        kind: The server's kind; None asks the server.
        auth: The settings of `[engine.auth]`.
        queries: Texts that people ask for; none takes words of the documents.
    """

    url: str
    index: str
    search: Path
    kind: str | None = None
    auth: tuple[tuple[str, str], ...] = ()
    queries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Adopted:
    """Say what was written and what needs a look.

    Attributes:
        files: What was written.
        kind: The server's kind.
        fields: How many fields the schema has.
        searched: Those that the search looks into.
        notes: What was not understood; it stands in the files as well.
        blind: How often the engine finds what the schema cannot explain.
    """

    files: tuple[Path, ...]
    kind: str
    fields: int
    searched: tuple[str, ...]
    notes: tuple[str, ...]
    blind: Blindness


def adopt(takeover: Takeover, folder: Path) -> Adopted:
    """Write a configuration and a schema for an index that others made into a new folder.

    Raises:
        InputError: If the folder is not empty, or the search or the index cannot be read.
        NotFoundError: If there is no such index.
        EngineError: If the server fails.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already; name a new or empty folder")
    search = _read_json(takeover.search)
    kind = takeover.kind or detect(takeover.url)
    query = parts_of_search(kind, search)
    whole = folder.resolve()  # "." has no name
    whole.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{whole.name}.", dir=whole.parent))
    try:
        _write_json(draft / SEARCH, query.template)
        (draft / CONFIG).write_text(_config_text(takeover, kind, query), encoding="utf-8")
        # The configuration is needed to reach the server, which has what the schema will say.
        (draft / SCHEMA).write_text(_PLACEHOLDER, encoding="utf-8")
        config = next(iter(load_config(draft / CONFIG, ()).values()))
        with closing(open_host(config)) as host:
            mapping = getattr(host, "mapping")  # noqa: B009  (no part of the contract)
            adoption = fields_of_index(kind, mapping(takeover.index), query)
            schema, notes = _write_schema(draft, adoption, takeover)
            sample = first_documents(host, takeover.index, schema)
            blind = blindness(host, takeover.index, schema, sample, takeover.queries)
        copy = _copy_of_id(adoption, sample)
        (draft / CONFIG).write_text(_config_text(takeover, kind, query, copy), encoding="utf-8")
        names = sorted(path.name for path in draft.iterdir())
        if whole.exists():  # someone may stand in it
            for name in names:
                (draft / name).rename(whole / name)
        else:
            draft.chmod(0o755)
            draft.rename(whole)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Adopted(
        files=tuple(folder / name for name in names),
        kind=kind,
        fields=len(schema.fields),
        searched=tuple(
            f.name for f in sorted(schema.of_kind(Kind.TEXT), key=lambda f: -f.boost) if f.boost > 0
        ),
        notes=(*query.notes, *notes),
        blind=blind,
    )


_RANKING = """
# The columns of the file of judgments that `cascade train` learns from.
[judgments]
query = "query"
doc_id = "doc_id"
grade = "grade"

[[stages]]
name = "linear"
ranker = "linear"
window = 1000

[[stages]]
name = "trees"
ranker = "trees"
window = 300
"""
_PLACEHOLDER = '[fields.text]\ntype = "text"\n'


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path} is no search; accepted is a JSON object")
    return found


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _quoted(text: str) -> str:
    """Return a text as a TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comments(notes: tuple[str, ...], mark: str = "TODO: ") -> list[str]:
    return [f"# {mark}{' '.join(note.split())}" for note in notes]


def _copy_of_id(adoption: Adoption, sample: Sample) -> str | None:
    """Return the keyword that holds the id of every document of a sample, None without one."""
    documents = sample.documents
    held = (
        path
        for path in adoption.copies
        if documents and all(document.raw.get(path) == document.id for document in documents)
    )
    return next(held, None)


def _config_text(
    takeover: Takeover, kind: str, query: FoundQuery, copy_of_id: str | None = None
) -> str:
    lines = [
        "# Taken over from a search of others; look at what is marked TODO.",
        f"name = {_quoted(_name_of(takeover.index))}",
        "",
        "[engine]",
        f"kind = {_quoted(kind)}",
        f"url = {_quoted(takeover.url.rstrip('/'))}",
        f"index = {_quoted(takeover.index)}",
        "# Others write this index: it is read, never changed.",
        "owned = false",
    ]
    if copy_of_id is not None:
        lines += [
            "# Held the id in every document that was looked at. If it always does, hits are read",
            "# from it without opening documents, and equal scores are ordered by it.",
            f"# id_field = {_quoted(copy_of_id)}",
        ]
    lines.append("")
    if takeover.auth:
        lines += ["[engine.auth]", *(f"{k} = {_quoted(v)}" for k, v in takeover.auth), ""]
    lines += [
        "[index]",
        f"schema = {_quoted(SCHEMA)}",
        'store = "indexes"',
        "",
        "[retrieval]",
        "# The search as it was, with the text in its place: it finds what it found before.",
        *_comments(query.notes),
        f"template = {_quoted(SEARCH)}",
        'analysed = "server"',
    ]
    if query.hints:
        lines += ["# Without the template, these settings would say nearly the same:"]
        lines += [f"# {key} = {json.dumps(value)}" for key, value in query.hints.items()]
    return "\n".join([*lines, _RANKING])


def _name_of(index: str) -> str:
    """Return a cascade's name, which begins with a letter, from that of an index."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", index).lstrip("0123456789_-").rstrip("-") or "search"


def _write_schema(
    folder: Path, adoption: Adoption, takeover: Takeover
) -> tuple[Schema, tuple[str, ...]]:
    """Write the schema and its synonym files; return it, and what needs a look."""
    lines = [
        f"# What documents of the index {takeover.index} look like; look at what is marked TODO.",
        f"id = {_quoted(adoption.id_key)}",
        *_comments(adoption.notes),
    ]
    notes = list(adoption.notes)
    written: dict[FoundAnalysis, tuple[str, ...]] = {}
    for field in adoption.fields:
        told, synonyms = field.notes, None
        if field.analysis is not None:
            told += field.analysis.notes
        if field.analysis is not None and field.analysis.synonyms:
            # Fields that are analysed alike share a file.
            number = list(written).index(field.analysis) if field.analysis in written else None
            place = len(written) if number is None else number
            synonyms = f"synonyms{place + 1 if place else ''}.txt"
            if number is None:
                written[field.analysis] = _write_synonyms(folder / synonyms, field.analysis)
                told += written[field.analysis]
        lines += ["", *_comments(told), *_field_lines(field, synonyms)]
        notes += [f"{field.name}: {note}" for note in told]
    (folder / SCHEMA).write_text("\n".join([*lines, ""]), encoding="utf-8")
    return load_schema(folder / SCHEMA), tuple(notes)


def _field_lines(field: FoundField, synonyms: str | None) -> list[str]:
    lines = [f"[fields.{field.name}]", f"type = {_quoted(str(field.kind))}"]
    if field.sources != (field.name,):
        listed = ", ".join(map(_quoted, field.sources))
        lines.append(f"source = [{listed}]" if len(field.sources) > 1 else f"source = {listed}")
    if field.boost is not None and field.boost != 1.0:
        lines.append(f"boost = {float(field.boost)!r}")
    if field.analysis is not None:
        lines.append(f"analyser = {_quoted(field.analysis.analyser)}")
    if synonyms is not None:
        lines.append(f"synonyms = {_quoted(synonyms)}")
    if field.kind is Kind.VECTOR:
        lines.append(f"dims = {field.dims}")
    return lines


def _write_synonyms(path: Path, analysis: FoundAnalysis) -> tuple[str, ...]:
    """Write a synonym file and return what ours does not take, which stands there as comments."""
    lines = list(analysis.synonyms)
    refused: set[int] = set()
    while True:
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        try:
            analyser(analysis.analyser, path)
        except ConfigError as error:
            found = {int(number) - 1 for number in _LINE.findall("\n".join(error.problems))}
            if not found - refused:
                raise
            for at in found - refused:
                lines[at] = f"# TODO: {lines[at]}"
            refused |= found
        else:
            return (f"{len(refused)} lines of {path.name} do not fit ours",) if refused else ()
