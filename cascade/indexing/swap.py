"""Making another generation the live one, going back, and removing those nobody needs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field

from cascade.candidates import Documents
from cascade.catalogue import Catalogue
from cascade.errors import CascadeError, ChecksumError, NotFoundError, RefusedError, nearest
from cascade.hosting import IndexHost, IndexState, Place
from cascade.indexing.builders import is_ours
from cascade.indexing.canaries import overlaps_of
from cascade.indexing.generations import BUILDING, Generation, Pointer, Store
from cascade.indexing.holds import fresh_holds, sweep_holds
from cascade.indexing.verify import indexed, verify_files
from cascade.schema import Schema

OVERLAP = 0.5
_POLL_S = 0.1

OpenDocuments = Callable[[Generation], Documents]
Settle = Callable[[Generation], AbstractContextManager[None]]


@dataclass(frozen=True)
class Checks:
    """Say what a generation must satisfy before it becomes the live one.

    Attributes:
        canaries: Query texts whose results are compared with those of the live generation.
        overlap: The least share of their first 10, and first 50, that must stay, on average.
        wait_s: How long the alias waits for the serving processes, seconds; 0 does not wait.
        open_documents: Opens a catalogue with the changes since its build; None opens it as it
            was built.
        settle: Brings all changes into a generation's index and holds off others while it is
            counted and made live; None if there are none.
    """

    canaries: tuple[str, ...] = ()
    overlap: float = OVERLAP
    wait_s: float = 0.0
    open_documents: OpenDocuments | None = None
    settle: Settle | None = None


@dataclass(frozen=True)
class SwapReport:
    """Say what became live.

    Attributes:
        generation: Its name.
        previous: What was live before, and what a rollback goes back to.
        documents: How many documents a search of it sees.
        overlaps: The mean overlap of the canaries' results with those before, by depth.
        replicas: How many serving processes have said that they answer from it; 0 if none was
            waited for.
        seconds: How long it took.
    """

    generation: str
    previous: str | None
    documents: int
    overlaps: Mapping[int, float] = field(default_factory=dict)
    replicas: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Collected:
    """Say what was removed, and what stayed why.

    Attributes:
        removed: Generations.
        orphans: Indexes that no generation belongs to any more.
        kept: The reason for each generation that stayed.
    """

    removed: tuple[str, ...]
    orphans: tuple[str, ...]
    kept: Mapping[str, str]


_CHECKS = Checks()


def swap(
    store: Store, host: IndexHost, name: str, schema: Schema, checks: Checks = _CHECKS
) -> SwapReport:
    """Make a generation the live one, if nothing speaks against it; else nothing changes.

    The store's pointer moves first, which serving processes follow, then the alias, which is for
    others. Whoever comes next sets the alias right if this process ends between the two.

    Args:
        store: Holds the generations.
        host: Holds their indexes.
        name: The generation.
        schema: The fields.
        checks: What it must satisfy.

    Raises:
        RefusedError: With everything that failed, or because the alias is not ours to move.
        NotFoundError: If there is no such generation.
    """
    start = time.perf_counter()
    with store.alone():
        generation = _named(store, name)
        refuse_foreign(store, host)
        before = store.pointer()
        with _settled(generation, checks.settle):
            documents, overlaps = _checked(store, host, generation, schema, checks)
            store.make_live(name)
        replicas = _awaited(store, name, before, checks.wait_s)
        host.point(store.index, generation.place)
    after = store.pointer()
    return SwapReport(
        generation=name,
        previous=None if after is None else after.previous,
        documents=documents,
        overlaps=overlaps,
        replicas=replicas,
        seconds=time.perf_counter() - start,
    )


def rollback(store: Store, host: IndexHost, checks: Checks = _CHECKS) -> SwapReport:
    """Make the generation before the live one the live one again.

    Only what takes no time is checked: that its index is there, whole and of as many documents as
    it should have.

    Args:
        store: Holds the generations.
        host: Holds their indexes.
        checks: How changes since the build are brought in and counted; canaries are not asked.

    Raises:
        RefusedError: If there is none to go back to, or its index is not whole.
        NotFoundError: If nothing was built yet.
    """
    start = time.perf_counter()
    with store.alone():
        pointer = store.live_pointer()
        previous = pointer.previous
        if previous is None or previous not in store.names():
            there = "none was live before it" if previous is None else f"{previous} was removed"
            raise RefusedError(f"cannot go back from {pointer.generation}: {there}")
        refuse_foreign(store, host)
        generation = store.listed(previous)
        if not generation.catalogue.is_dir():
            generation = store.get(previous)
        with _settled(generation, checks.settle):
            manifest = generation.manifest
            expected = int(manifest["documents"]) - len(manifest.get("refused_rows", ()))
            if checks.open_documents is not None:
                expected = len(indexed(generation, checks.open_documents(generation)))
            count, problems = index_problems(host, generation, expected)
            if problems:
                raise _refusal(previous, problems)
            store.point(Pointer(previous, pointer.generation))
        host.point(store.index, generation.place)
    return SwapReport(previous, pointer.generation, count, seconds=time.perf_counter() - start)


def repair(store: Store, host: IndexHost) -> str | None:
    """Let the alias name the live generation's index; return it if it named another.

    A process that was killed between moving the store's pointer and the alias leaves them apart.
    """
    with store.alone():
        pointer = store.pointer()
        if pointer is None:
            return None
        place = store.listed(pointer.generation).place
        if host.target(store.index) == place.name:
            return None
        refuse_foreign(store, host)
        host.point(store.index, place)
        return place.name


def collect(store: Store, host: IndexHost, keep: int) -> Collected:
    """Remove the generations and indexes that nothing needs.

    Those stay that are live, that a rollback goes back to, that a serving process holds, and the
    newest `keep`. Indexes without a generation go if we made them and no build fills them.

    Raises:
        EngineError: If the server fails; what was not removed by then goes the next time.
    """
    with store.alone():
        sweep_holds(store.objects, store.index)
        spared = store.spared(keep)
        names = store.names()
        removed = [name for name in names if name not in spared]
        listed = {name: store.listed(name) for name in names}
        places = {name: generation.place for name, generation in listed.items()}
        aliased = host.target(store.index)
        for name in removed:
            kind = listed[name].manifest.get("index", {}).get("kind", host.kind)
            if kind != host.kind:
                spared[name] = f"its index is in {kind}: `gc` with that engine removes it"
                continue
            if places[name].name == aliased:
                spared[name] = "the alias names its index"
                continue
            # The folder goes last: as long as it is there, its index is found again.
            host.drop(places[name])
            store.remove(name)
        removed = [name for name in removed if name not in spared]
        ours = {places[name].name for name in names if name in spared}
        orphans = [
            name
            for name in host.names(store.index)
            if name not in ours and name != aliased and _is_orphan(store, host, name, names)
        ]
        for name in orphans:
            host.drop(_place(store, name))
    kept = {name: spared[name] for name in names if name in spared}
    return Collected(tuple(removed), tuple(orphans), kept)


def refuse_foreign(store: Store, host: IndexHost) -> None:
    """Refuse to move an alias that others own.

    Raises:
        RefusedError: If the name is that of an index, or of an alias of an index of others.
    """
    index = store.index
    target = host.target(index)
    if target is None:
        return
    if target == index:
        raise RefusedError(
            f"{index!r} is an index on the server and can be no alias; give another name as "
            "engine.index, or remove that index"
        )
    if target in {store.listed(name).place.name for name in store.names()}:
        return
    try:
        state = host.state(_place(store, target))
    except NotFoundError:  # it was removed, and names nothing that could be taken from anyone
        return
    if not is_ours(state):
        raise RefusedError(
            f"the alias {index!r} names {target}, which others made: it is theirs to move; give "
            "another name as engine.index, or remove that alias"
        )
    if not _is_of(store, state):
        builder = state.about.get("builder", "an unknown process")
        raise RefusedError(
            f"the alias {index!r} names {target}, which {builder} built in another store than "
            f"{store.objects.label}: use that one as index.store, give another name as "
            "engine.index, or remove the alias on the server if that store is lost"
        )


def index_problems(
    host: IndexHost, generation: Generation, expected: int | None
) -> tuple[int, list[str]]:
    """Return how many documents an index has, and what is wrong with it.

    Without an expected number it may have any.
    """
    try:
        state = host.state(generation.place)
    except (NotFoundError, ChecksumError) as error:
        return -1, [str(error)]
    problems = []
    promised = generation.manifest.get("index", {}).get("identity")
    if promised and promised != state.identity:
        problems.append(
            f"the index {generation.place.name} was made anew since the build: its identity is "
            f"{state.identity}, not {promised}"
        )
    if state.failed_shards:
        problems.append(f"{state.failed_shards} parts of {generation.place.name} do not answer")
    if expected is not None and state.documents != expected:
        problems.append(f"it has {state.documents:,} documents in its index, not {expected:,}")
    return state.documents, problems


def _checked(
    store: Store, host: IndexHost, generation: Generation, schema: Schema, checks: Checks
) -> tuple[int, dict[int, float]]:
    """Return how many documents a generation's index has, and the overlaps of the canaries.

    Raises:
        RefusedError: With everything that speaks against it.
    """
    live, documents, overlaps = store.pointer(), -1, dict[int, float]()
    try:
        verify_files(generation)
        opened = _documents(generation, schema, checks.open_documents)
        expected = len(indexed(generation, opened))
        documents, problems = index_problems(host, generation, expected)
        other = live is not None and live.generation != generation.name
        if checks.canaries and live is not None and other and not problems:
            before = store.get(live.generation)
            known = _documents(before, schema, checks.open_documents)
            with (
                closing(host.engine(before.place, schema, known)) as old,
                closing(host.engine(generation.place, schema, opened)) as new,
            ):
                overlaps = overlaps_of(old, new, checks.canaries)
            problems += _too_different(overlaps, checks)
    except CascadeError as error:
        problems = [str(error)]
    if problems:
        raise _refusal(generation.name, problems)
    return documents, overlaps


def _settled(generation: Generation, settle: Settle | None) -> AbstractContextManager[None]:
    return nullcontext() if settle is None else settle(generation)


def _too_different(overlaps: Mapping[int, float], checks: Checks) -> list[str]:
    many = f"{len(checks.canaries)} canary quer{'y' if len(checks.canaries) == 1 else 'ies'}"
    return [
        f"of the first {depth} results of {many}, {share:.2f} are those of the live generation; "
        f"the floor is {checks.overlap:.2f} (index.canary_overlap)"
        for depth, share in overlaps.items()
        if share < checks.overlap
    ]


def _documents(generation: Generation, schema: Schema, opened: OpenDocuments | None) -> Documents:
    if opened is not None:
        return opened(generation)
    return Catalogue.open(generation.catalogue, schema)


def _named(store: Store, name: str) -> Generation:
    names = store.names()
    if name not in names:
        raise NotFoundError(f"there is no generation {name!r}; {nearest(name, names)}")
    return store.get(name)


def _refusal(name: str, problems: Sequence[str]) -> RefusedError:
    told = "".join(f"\n  {problem}" for problem in problems)
    return RefusedError(f"{name} does not become the live generation, nothing changed:{told}")


def _awaited(store: Store, name: str, before: Pointer | None, wait_s: float) -> int:
    """Wait until every serving process answers from a generation; return how many there are.

    Raises:
        RefusedError: If one of them does not in time; the pointer is put back then.
    """
    if wait_s <= 0:
        return 0
    until = time.monotonic() + wait_s
    while True:
        holds = fresh_holds(store.objects, store.index)
        late = sorted(hold.replica for hold in holds if hold.serves != name)
        if not late:
            return len(holds)
        if time.monotonic() >= until:
            if before is not None:
                store.point(before)
            raise _refusal(name, [f"{r} does not answer from it after {wait_s:g} s" for r in late])
        time.sleep(_POLL_S)


def _is_orphan(store: Store, host: IndexHost, name: str, generations: Sequence[str]) -> bool:
    """Return whether an index of ours has lost its generation, or never came to have one.

    A build elsewhere may still fill one that is newer than every generation.
    """
    if (store.root / f"{BUILDING}{name}").exists():
        return False
    if not generations or not _before(name, generations[-1]):
        return False
    try:
        state = host.state(_place(store, name))
    except (NotFoundError, ChecksumError):
        return False
    return is_ours(state) and _is_of(store, state)


def _is_of(store: Store, state: IndexState) -> bool:
    """Return whether an index of ours was built in this store."""
    return state.about.get("store") == store.identity()


def _before(name: str, newest: str) -> bool:
    found, last = (re.search(r"(\d+)\Z", each) for each in (name, newest))
    return found is not None and last is not None and int(found[1]) < int(last[1])


def _place(store: Store, name: str) -> Place:
    return Generation(name, store.root / name, {}).place
