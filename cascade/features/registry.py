"""The kinds of features by name; one from another package registers the same way.

A kind is either registered (`@feature_kind("bm25")`) or written `my_shop.features:Recency`, which
imports that module and takes that class.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import TypeVar, cast

from cascade.errors import nearest
from cascade.protocols import Feature

T = TypeVar("T", bound=type[Feature])

KINDS: dict[str, type[Feature]] = {}


def feature_kind(kind: str) -> Callable[[T], T]:
    """Register a class of features under the name that definitions use.

    Raises:
        ValueError: If another class has that name.
    """

    def register(cls: T) -> T:
        known = KINDS.get(kind)
        if known is not None and _path(known) != _path(cls):
            raise ValueError(f"feature kind {kind!r} is taken by {_path(known)}; choose another")
        KINDS[kind] = cls
        cls.kind = kind  # type: ignore[attr-defined]
        return cls

    return register


def kind_class(kind: str) -> type[Feature]:
    """Return the class of a kind.

    Raises:
        LookupError: If there is none; the message names the nearest, or says what failed.
    """
    if ":" in kind:
        return _imported(kind)
    found = KINDS.get(kind)
    if found is None:
        message = f"{kind!r} is no feature kind; {nearest(kind, KINDS, most=len(KINDS))}"
        raise LookupError(message + ", or module:Class")
    return found


def _imported(kind: str) -> type[Feature]:
    module_name, _, class_name = kind.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise LookupError(f"{kind!r} cannot be imported: {error}") from None
    found = getattr(module, class_name, None)
    if found is None:
        classes = [name for name, value in vars(module).items() if isinstance(value, type)]
        raise LookupError(f"{module_name} has no {class_name!r}; {nearest(class_name, classes)}")
    wanted = ("name", "version", "scope", "portable", "definition", "values")
    if not isinstance(found, type) or not is_dataclass(found):
        raise LookupError(f"{kind!r} is not a dataclass; derive it from features.BaseFeature")
    annotated = {name for base in found.__mro__ for name in vars(base).get("__annotations__", ())}
    lacking = [name for name in wanted if not hasattr(found, name) and name not in annotated]
    if lacking:
        raise LookupError(f"{kind!r} lacks {', '.join(lacking)}; derive it from BaseFeature")
    return cast(type[Feature], found)


def _path(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"
