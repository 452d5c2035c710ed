"""From plain definitions to features, checked whole: every problem at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any, get_type_hints

from cascade.errors import ConfigError, InputError, nearest
from cascade.features.expression import Expression
from cascade.features.registry import kind_class
from cascade.features.set import Features
from cascade.protocols import Feature
from cascade.schema import Field as FieldSpec
from cascade.schema import Kind, Schema
from cascade.text import analyser

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}\Z")
_PLAIN: Mapping[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a string"),
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
}


def build_features(
    definitions: Sequence[Mapping[str, Any]], schema: Schema, source: str = "features"
) -> Features:
    """Return the features of definitions, checked against a schema.

    Args:
        definitions: Plain data, each `{"kind": ..., "name": ..., setting: value}`; a `version`,
            as `Features.definitions` writes it, is not an order and is passed over.
        schema: The fields that may be named.
        source: Where the definitions come from, for messages.

    Raises:
        ConfigError: With every problem found: unknown kinds, settings, fields and features, fields
            of another kind, wrong values, names given twice.
    """
    reading = _Reading(schema)
    for i, definition in enumerate(definitions):
        reading.read(i, definition)
    analyses = reading.analyses()
    if reading.problems:
        raise ConfigError(source, reading.problems)
    return Features(reading.features, analyses)


def analysis_of(field: FieldSpec) -> str:
    """Return what decides how a field is read, as text for fingerprints.

    Raises:
        InputError: If its analyser or synonyms cannot be read.
    """
    if field.kind not in (Kind.TEXT, Kind.KEYWORD):
        return str(field.kind)
    reading = " without markup" if field.strip_html else ""
    return f"{field.kind} {analyser(field.analyser, field.synonyms).fingerprint}{reading}"


@dataclass
class _Reading:
    """Collect features and problems, definition by definition."""

    schema: Schema
    features: list[Feature] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    declared: dict[str, int] = field(default_factory=dict)

    def read(self, index: int, definition: object) -> None:
        where = f"features[{index}]"
        if not isinstance(definition, Mapping):
            self.problems.append(f"{where}: is {definition!r}; accepted is a table with a kind")
            return
        name, kind = definition.get("name"), definition.get("kind")
        if not isinstance(name, str) or not _NAME.match(name):
            self.problems.append(
                f"{where}.name: is {name!r}; accepted are letters, digits and any of _.:-"
            )
            name = ""
        elif name in self.declared:
            self.problems.append(
                f"{where}.name: {name!r} is the name of features[{self.declared[name]}] as well; "
                "names are distinct"
            )
        where = f"{where} ({name})" if name else where
        if isinstance(kind, str):
            found = self._build(where, kind, definition)
            if found is not None:
                self.features.append(found)
        else:
            self.problems.append(f"{where}.kind: is {kind!r}; accepted is the name of a kind")
        self.declared.setdefault(name, index)

    def analyses(self) -> dict[str, str]:
        """Return the analysis of each schema field that a feature reads."""
        found = {}
        for name in sorted({n for f in self.features for n in getattr(f, "reads", ())}):
            try:
                found[name] = analysis_of(self.schema.by_name[name])
            except InputError as error:
                self.problems.append(f"the schema's field {name!r}: {error}")
            except KeyError:
                # A setting that its own check has refused already.
                continue
        return found

    def _build(self, where: str, kind: str, definition: Mapping[str, Any]) -> Feature | None:
        try:
            cls = kind_class(kind)
        except LookupError as error:
            self.problems.append(f"{where}.kind: {error.args[0]}")
            return None
        before = len(self.problems)
        settings = self._settings(where, cls, definition)
        if len(self.problems) > before or not settings.get("name"):
            return None
        try:
            feature = cls(**settings)
        except (TypeError, ValueError) as error:
            self.problems.append(f"{where}: {error}")
            return None
        check = getattr(feature, "problems", None)
        if check is not None:
            self.problems.extend(f"{where}.{problem}" for problem in check(self.schema))
        if isinstance(feature, Expression):
            return self._bound(where, feature)
        return feature

    def _settings(
        self, where: str, cls: type[Feature], definition: Mapping[str, Any]
    ) -> dict[str, Any]:
        specs = {
            spec.name: spec
            for spec in fields(cls)  # type: ignore[arg-type]
            if spec.init and spec.metadata.get("setting", True)
        }
        hints = get_type_hints(cls)
        settings: dict[str, Any] = {}
        for key, value in definition.items():
            if key in specs:
                settings[key] = self._value(f"{where}.{key}", specs[key], hints[key], value)
            elif key not in ("kind", "version"):
                self.problems.append(f"{where}.{key}: unknown setting; {nearest(key, specs)}")
        for key, spec in specs.items():
            optional = spec.default is not MISSING or spec.default_factory is not MISSING
            if key not in definition and key != "name" and not optional:
                self.problems.append(f"{where}.{key}: is needed and not given")
        return settings

    def _value(self, where: str, spec: Field[Any], hint: object, value: object) -> object:
        if hint == tuple[str, ...]:
            if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
                self.problems.append(f"{where}: is {value!r}; accepted is a list of strings")
                return ()
            value = tuple(value)
        elif hint in _PLAIN:
            types, accepted = _PLAIN[hint]
            if not isinstance(value, types) or (isinstance(value, bool) and hint is not bool):
                self.problems.append(f"{where}: is {value!r}; accepted is {accepted}")
                return value
            value = float(value) if isinstance(value, int) and hint is float else value
        kinds = spec.metadata.get("kinds")
        if kinds:
            for name in value if isinstance(value, tuple) else [str(value)]:
                if name or spec.default is MISSING:
                    self._check_field(where, name, kinds)
        return value

    def _check_field(self, where: str, name: str, kinds: tuple[Kind, ...]) -> None:
        found = self.schema.by_name.get(name)
        if found is None or found.kind not in kinds:
            wanted = " or ".join(str(kind) for kind in kinds)
            what = "is no field" if found is None else f"is a {found.kind} field"
            valid = [f.name for f in self.schema.of_kind(*kinds)]
            self.problems.append(
                f"{where}: {name!r} {what}; a {wanted} field is needed: {nearest(name, valid)}"
            )

    def _bound(self, where: str, expression: Expression) -> Feature | None:
        built = {feature.name: feature for feature in self.features}
        for name in expression.parsed.names:
            if name not in self.declared:
                self.problems.append(
                    f"{where}.formula: {name!r} is no feature before this one; "
                    + nearest(name, filter(None, self.declared))
                )
        if not all(name in built for name in expression.parsed.names):
            return None
        return replace(expression, inputs=tuple(built[n] for n in expression.parsed.names))
