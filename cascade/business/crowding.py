"""Where `at_least` rules ask for more rows than the first ranks have room for, beside pins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from cascade.business.implied import disjoint, ids_named, refuses_id
from cascade.business.rules import AtLeast, BaseRule, Pin

Fault = tuple[Sequence[BaseRule], str]


def crowded(rules: Sequence[BaseRule], id_field: str | None = None) -> list[Fault]:
    """Return the rules that ask for too many rows of one request, and what they ask for.

    A pinned row may be one of those that an `at_least` wants; which it is, is known beforehand
    only where a filter names ids.

    Args:
        rules: The rules.
        id_field: The field of the documents' ids, where filters may name it.
    """
    if not any(isinstance(rule, AtLeast) for rule in rules):
        return []
    groups: dict[tuple[int, ...], list[list[AtLeast]]] = {}
    found: dict[tuple[tuple[str, ...], str], Fault] = {}
    for together in _covering_one(rules):
        floors = [rule for rule in together if isinstance(rule, AtLeast)]
        pins = [rule for rule in together if isinstance(rule, Pin)]
        key = tuple(map(id, floors))
        if key not in groups:
            groups[key] = _groups(floors, id_field)
        for fault in _faults(groups[key], pins, id_field):
            found.setdefault((tuple(sorted(rule.name for rule in fault[0])), fault[1]), fault)
    return list(found.values())


def _covering_one(rules: Sequence[BaseRule]) -> Iterator[list[BaseRule]]:
    """Yield the rules that cover one request together, for each kind of request there is."""
    for of_text in _divided(rules, lambda rule: rule.texts):
        for of_surface in _divided(of_text, lambda rule: rule.surfaces):
            # Periods that have a moment in common have the latest of their beginnings in common.
            for moment in {rule.period[0] for rule in of_surface}:
                lasting = (rule for rule in of_surface if rule.period[0] <= moment < rule.period[1])
                yield list(lasting)


def _divided(
    rules: Sequence[BaseRule], named: Callable[[BaseRule], Iterable[str]]
) -> list[list[BaseRule]]:
    """Return the rules of each name with those of every name, and these alone."""
    general = [rule for rule in rules if not named(rule)]
    by_name: dict[str, list[BaseRule]] = {}
    for rule in rules:
        for name in named(rule):
            by_name.setdefault(name, []).append(rule)
    return [general, *(general + own for own in by_name.values())]


def _groups(floors: Sequence[AtLeast], id_field: str | None) -> list[list[AtLeast]]:
    """Return each rule alone, and for each top the largest groups that want no row twice."""
    apart = [
        {n for n, b in enumerate(floors) if n != m and disjoint(a.where, b.where, id_field)}
        for m, a in enumerate(floors)
    ]
    found = [[floor] for floor in floors]
    for top in sorted({floor.top for floor in floors}):
        within = {n for n, floor in enumerate(floors) if floor.top <= top}
        for group in _cliques(apart, frozenset(), within, set()):
            if len(group) > 1:
                found.append([floors[n] for n in sorted(group)])
    return found


def _cliques(
    near: Sequence[set[int]], chosen: frozenset[int], left: set[int], passed: set[int]
) -> Iterator[frozenset[int]]:
    """Yield the largest sets whose members are all near each other (Bron and Kerbosch, 1973)."""
    if not left and not passed:
        yield chosen
        return
    pivot = max(left | passed, key=lambda n: len(near[n] & left))
    for n in sorted(left - near[pivot]):
        yield from _cliques(near, chosen | {n}, left & near[n], passed & near[n])
        left, passed = left - {n}, passed | {n}


def _faults(
    groups: Sequence[Sequence[AtLeast]], pins: Sequence[Pin], id_field: str | None
) -> Iterator[Fault]:
    for group in groups:
        yield from _too_many(group, pins, id_field)
        if len(group) == 1 and id_field is not None:
            yield from _pinned_below(group[0], pins, id_field)


def _too_many(
    group: Sequence[AtLeast], pins: Sequence[Pin], id_field: str | None
) -> Iterator[Fault]:
    """Yield the first of a group that ask for more than their ranks have, beside pinned others."""
    largest = sorted(group, key=lambda floor: -floor.count)
    for size in range(1, len(largest) + 1):
        some = largest[:size]
        asked, top = sum(floor.count for floor in some), max(floor.top for floor in some)
        others = [
            (pin, row)
            for pin in pins
            for row in pin.slots
            if row[1] <= top and _unwanted(some, row[0], id_field)
        ]
        # Several pins may put one document to one slot.
        taken = len({row for _, row in others})
        if asked + taken > top and (len(some) > 1 or taken):
            told = f"ask for {asked} different rows in the first {top}"
            beside = f" and pin {taken} others there" if taken else ""
            yield [*some, *dict.fromkeys(pin for pin, _ in others)], told + beside
            return


def _unwanted(floors: Sequence[AtLeast], doc_id: str, id_field: str | None) -> bool:
    return id_field is not None and all(refuses_id(f.where, id_field, doc_id) for f in floors)


def _pinned_below(floor: AtLeast, pins: Sequence[Pin], id_field: str) -> Iterator[Fault]:
    """Yield that too few of the ids which a rule names are left in its top."""
    named = ids_named(floor.where, id_field) or frozenset()
    below = {
        doc_id: pin
        for pin in pins
        for doc_id, slot in pin.slots
        if slot > floor.top and doc_id in named
    }
    if below and len(named) - len(below) < floor.count:
        rows = ", ".join(map(repr, below))
        told = f"ask for at least {floor.count} in the first {floor.top} and pin {rows} below"
        yield [floor, *dict.fromkeys(below.values())], told
