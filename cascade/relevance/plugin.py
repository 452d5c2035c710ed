"""The pytest plugin: `pytest --cascade-config cascade.toml`, and fixtures that measure.

It loads nothing of the system until a test asks for one of its fixtures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from cascade.relevance.estimate import Estimate
    from cascade.relevance.searches import Searches


class Ndcg(Protocol):
    """Give what measures nDCG of the judged queries of a file."""

    def __call__(self, judgments: str | Path, at: int = 10, system: str = "final") -> Estimate:
        """Return it with its interval."""
        ...


class RecallAtWindow(Protocol):
    """Measure how much of what is relevant retrieval brings."""

    def __call__(self, judgments: str | Path, window: int) -> Estimate:
        """Return the recall within the first `window` rows, with its interval."""
        ...


class P95(Protocol):
    """Measure how long pages take."""

    def __call__(self, judgments: str | Path, repeats: int = 1) -> Estimate:
        """Return the 95th percentile in milliseconds, with its interval."""
        ...


class ShareOf(Protocol):
    """Measure how much of the first page a group has."""

    def __call__(self, group: Mapping[str, Any], judgments: str | Path, at: int = 10) -> Estimate:
        """Return the mean share, with its interval."""
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("cascade", "relevance tests of a search cascade")
    group.addoption("--cascade-config", metavar="FILE", help="The configuration to test.")
    group.addoption(
        "--cascade-set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="Set one of its settings, as `cascade --set` does; may be given more than once.",
    )
    group.addoption("--cascade-name", metavar="NAME", help="Which of the file's cascades to test.")


@pytest.fixture(scope="session")
def cascade_searches(request: pytest.FixtureRequest) -> Iterator[Searches]:
    """The cascade under test, opened once."""
    given = request.config.getoption("--cascade-config")
    if given is None:
        raise pytest.UsageError(
            "this test measures a search: give its configuration with --cascade-config FILE"
        )
    from cascade.config import load_config
    from cascade.errors import InputError, nearest
    from cascade.relevance.searches import Searches

    with _failing():
        configs = load_config(Path(given), request.config.getoption("--cascade-set"))
        name = request.config.getoption("--cascade-name") or next(iter(configs))
        if name not in configs:
            raise InputError(f"{given} has no cascade {name!r}; {nearest(name, configs)}")
        found = Searches.open(configs[name])
    yield found
    found.close()


@pytest.fixture
def ndcg(cascade_searches: Searches, request: pytest.FixtureRequest) -> Ndcg:
    """Give what measures nDCG of the judged queries of a file."""

    def measure(judgments: str | Path, at: int = 10, system: str = "final") -> Estimate:
        with _failing():
            return cascade_searches.ndcg(_beside(request, judgments), at, system)

    return measure


@pytest.fixture
def recall_at_window(cascade_searches: Searches, request: pytest.FixtureRequest) -> RecallAtWindow:
    """Give what measures how much of what is relevant retrieval brings."""

    def measure(judgments: str | Path, window: int) -> Estimate:
        with _failing():
            return cascade_searches.recall(_beside(request, judgments), window)

    return measure


@pytest.fixture
def p95_ms(cascade_searches: Searches, request: pytest.FixtureRequest) -> P95:
    """Give what measures the time of a page."""

    def measure(judgments: str | Path, repeats: int = 1) -> Estimate:
        with _failing():
            return cascade_searches.p95_ms(_beside(request, judgments), repeats)

    return measure


@pytest.fixture
def share_of(cascade_searches: Searches, request: pytest.FixtureRequest) -> ShareOf:
    """Give what measures the share that a group has of the first page."""

    def measure(group: Mapping[str, Any], judgments: str | Path, at: int = 10) -> Estimate:
        with _failing():
            return cascade_searches.share(group, _beside(request, judgments), at)

    return measure


@contextmanager
def _failing() -> Iterator[None]:
    """Let the test fail by what an error of ours says: where it arose helps nobody."""
    from cascade.errors import CascadeError

    try:
        yield
    except CascadeError as error:
        pytest.fail(str(error), pytrace=False)


def _beside(request: pytest.FixtureRequest, judgments: str | Path) -> Path:
    """Return a file's path; a relative one starts at the folder of the test."""
    return (Path(request.path).parent / judgments).resolve()
