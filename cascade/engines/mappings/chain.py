"""The analysers of `cascade.text`, as chains of the parts that every server of Lucene's has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade.engines.mappings.folding import folding_rules
from cascade.engines.mappings.stems import AFTER, BEFORE, EXCEPTIONS, Rewrite
from cascade.engines.mappings.synonyms import synonym_rules
from cascade.schema import Field, Kind, Schema
from cascade.text import ANALYSERS, MAX_TOKEN_CHARS

PREFIX = "cascade_"

# The token pattern of `cascade.text` in Java's words. Every repetition is possessive: Java's
# matcher recurs for others, and a text of one long word would end its stack.
_SINGLES = r"\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\x{20000}-\x{3ffff}"
_MARKS = r"[\u0300-\uffff&&[\p{Mn}\p{Mc}]]"
_CHARS = rf"[\p{{L}}\p{{N}}&&[^{_SINGLES}]]"
_WORD = f"{_CHARS}[{_CHARS}{_MARKS}]*+"
_LETTER = r"[\p{L}\p{Nl}\p{No}]"
_JOINED = rf"(?:(?<={_LETTER})'(?={_LETTER})|(?<=\p{{Nd}})[.,](?=\p{{Nd}}))"
TOKEN = f"[{_SINGLES}]{_MARKS}*+|{_WORD}(?:{_JOINED}{_WORD})*+"
# A capital sigma that ends a word becomes another letter than one within it.
_LAST_SIGMA = r"\u03a3(?<=\p{L}\u03a3)(?!\p{L})"
_LATIN_MARKS = r"[\u0300-\u036f](?<=[A-Za-z].)[\u0300-\u036f]*+"

_STEMMERS = {"english": "English", "german": "German"}


@dataclass(frozen=True, slots=True)
class Chain:
    """Name what an analyser is made of.

    Attributes:
        name: Its own name on the server.
        analyser: Its key in `text.ANALYSERS`.
        synonyms: The file whose rules it contracts.
    """

    name: str
    analyser: str
    synonyms: Path | None = None


def chains(schema: Schema) -> Mapping[tuple[str, Path | None], Chain]:
    """Return the chain of each pair of analyser and synonym file among the searched texts."""
    found: dict[tuple[str, Path | None], Chain] = {}
    for spec in searched(schema):
        key = (spec.analyser, spec.synonyms)
        if key not in found:
            alike = sum(name == spec.analyser and path is not None for name, path in found)
            suffix = f"_synonyms{alike + 1 if alike else ''}" if spec.synonyms else ""
            found[key] = Chain(f"{PREFIX}{spec.analyser}{suffix}", *key)
    return found


def searched(schema: Schema) -> tuple[Field, ...]:
    """Return the text fields that retrieval looks into."""
    return tuple(spec for spec in schema.of_kind(Kind.TEXT) if spec.boost > 0)


def analysis(schema: Schema) -> dict[str, Any]:
    """Return the `analysis` settings of an index for Elasticsearch and OpenSearch."""
    parts: dict[str, dict[str, Any]] = {
        "char_filter": {},
        "tokenizer": {f"{PREFIX}tokens": {"type": "pattern", "pattern": TOKEN, "group": 0}},
        "filter": {f"{PREFIX}cut": {"type": "truncate", "length": MAX_TOKEN_CHARS}},
        "analyzer": {},
    }
    for chain in chains(schema).values():
        parts["analyzer"][chain.name] = {
            "type": "custom",
            "char_filter": _char_filters(chain, parts["char_filter"]),
            "tokenizer": f"{PREFIX}tokens",
            "filter": _filters(chain, parts["filter"]),
        }
    return parts


def _char_filters(chain: Chain, parts: dict[str, Any]) -> list[str]:
    recipe = ANALYSERS[chain.analyser]
    folding = f"{PREFIX}folding_but_umlauts" if recipe.umlauts else f"{PREFIX}folding"
    rules = folding_rules(chain.analyser)
    parts[folding] = {
        "type": "mapping",
        "mappings": [f"{_written(a)}=>{_written(b)}" for a, b in rules.items()],
    }
    parts[f"{PREFIX}marks"] = _rewriting((_LATIN_MARKS, ""))
    parts[f"{PREFIX}last_sigma"] = _rewriting((_LAST_SIGMA, "ς"))
    return [folding, f"{PREFIX}marks", f"{PREFIX}last_sigma"]


def _written(text: str) -> str:
    r"""Return a side of a folding rule; what a reader could not see or a server trims is `\u`."""
    return "".join(
        c if c.isalnum() or c in "'.,/()" else "".join(f"\\u{u:04x}" for u in _utf16(c))
        for c in text
    )


def _utf16(char: str) -> list[int]:
    data = char.encode("utf-16-be")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def _filters(chain: Chain, parts: dict[str, Any]) -> list[str]:
    """Return the names of a chain's token filters, in order, and put them into `parts`."""
    names = ["lowercase", f"{PREFIX}cut"]
    stemmer = ANALYSERS[chain.analyser].stemmer
    if stemmer is not None:
        steps: dict[str, dict[str, Any]] = {}
        for number, rewrite in enumerate(BEFORE.get(stemmer, ()), start=1):
            steps[f"before_{number}"] = _rewriting(rewrite)
        if exceptions := EXCEPTIONS.get(stemmer):
            rules = [f"{word} => {stem}" for word, stem in exceptions.items()]
            steps["exceptions"] = {"type": "stemmer_override", "rules": rules}
        steps["stems"] = {"type": "snowball", "language": _STEMMERS[stemmer]}
        for number, rewrite in enumerate(AFTER.get(stemmer, ()), start=1):
            steps[f"after_{number}"] = _rewriting(rewrite)
        named = {f"{PREFIX}{stemmer}_{step}": spec for step, spec in steps.items()}
        parts.update(named)
        names.extend(named)
    if chain.synonyms is not None:
        name = f"{chain.name}_rules"
        parts[name] = {
            "type": "synonym_graph",
            "synonyms": synonym_rules(chain.analyser, chain.synonyms),
        }
        names.append(name)
    return names


def _rewriting(rewrite: Rewrite) -> dict[str, Any]:
    return {"type": "pattern_replace", "pattern": rewrite[0], "replacement": rewrite[1]}
