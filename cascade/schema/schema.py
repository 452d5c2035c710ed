"""The fields of an index together, and the reading of its documents."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cascade.errors import DocumentError
from cascade.schema.fields import Document, Field, Kind, Role
from cascade.schema.reading import READERS, Read, clean, only_key, values_of


@dataclass(frozen=True)
class Schema:
    """Name the fields of an index, in order, and the document key that holds the id."""

    id: str
    fields: tuple[Field, ...]
    source: str = field(default="schema", compare=False)

    @cached_property
    def by_name(self) -> Mapping[str, Field]:
        """All fields by name."""
        return {f.name: f for f in self.fields}

    @cached_property
    def filterable(self) -> Mapping[str, Field]:
        """The fields that filters and sorting may name, by name."""
        return self._having(Role.FILTERED)

    @cached_property
    def faceted(self) -> Mapping[str, Field]:
        """The fields whose values may be counted, by name."""
        return self._having(Role.FACETED)

    @cached_property
    def hidden(self) -> frozenset[str]:
        """The keys of a document, or patterns of keys, that only fields read that are not shown."""
        shown: set[str] = {self.id}
        hidden: set[str] = set()
        for spec in self.fields:
            keys = shown if Role.SHOWN in spec.roles else hidden
            keys.update(spec.source or (spec.name,))
        return frozenset(hidden - shown)

    def shown(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a document as pages show it: as it was given, less the hidden keys."""
        if not self.hidden:
            return raw
        plain = {key for key in self.hidden if "*" not in key}
        patterns = self.hidden - plain
        return {
            key: value
            for key, value in raw.items()
            if key not in plain and not any(fnmatch.fnmatchcase(key, p) for p in patterns)
        }

    def _having(self, role: Role) -> Mapping[str, Field]:
        return {f.name: f for f in self.fields if role in f.roles}

    def of_kind(self, *kinds: Kind) -> tuple[Field, ...]:
        """Return the fields of these kinds, in order."""
        return tuple(f for f in self.fields if f.kind in kinds)

    @cached_property
    def _readers(self) -> tuple[tuple[Read, Field, str], ...]:
        """For each field what reads it, and its key if it is fed by a single one."""
        return tuple((READERS[f.kind], f, only_key(f)) for f in self.fields)

    def document(self, raw: Mapping[str, Any]) -> Document:
        """Check a raw document and split it by kind.

        Raises:
            DocumentError: If the id is missing or a value does not fit its field's kind.
        """
        if not isinstance(raw, Mapping):
            raise DocumentError(f"a document is a JSON object, not {type(raw).__name__}")
        doc_id = raw.get(self.id)
        if isinstance(doc_id, bool) or not isinstance(doc_id, str | int) or doc_id == "":
            raise DocumentError(
                f"the id field {self.id!r} is {doc_id!r}; accepted is a non-empty string "
                f"(the document has {', '.join(sorted(map(str, raw))[:8])})"
            )
        document = Document(clean(str(doc_id)), {}, {}, {}, {}, raw)
        for read, spec, key in self._readers:
            try:
                read(document, spec, raw.get(key) if key else values_of(raw, spec))
            except (TypeError, ValueError, OverflowError) as error:
                message = f"document {document.id!r}, field {spec.name!r} {error}"
                raise DocumentError(message) from None
        return document

    def definition(self) -> dict[str, Any]:
        """Return the schema as plain data, for manifests and fingerprints."""
        return {
            "id": self.id,
            "fields": [
                {
                    "name": f.name,
                    "kind": str(f.kind),
                    "source": list(f.source),
                    "boost": f.boost,
                    "analyser": f.analyser if f.kind is Kind.TEXT else None,
                    "synonyms": f.synonyms.name if f.synonyms else None,
                    "dims": f.dims,
                    "strip_html": f.strip_html,
                }
                | ({} if f.given_roles is None else {"roles": sorted(f.roles)})
                for f in self.fields
            ],
        }
