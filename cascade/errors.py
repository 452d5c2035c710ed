"""The error tree.

CascadeError                     exit code 1, HTTP 500
├── InputError                   3, 422   what was given cannot be used
│   ├── QueryError               the text, size, sort or preference of a request
│   ├── FilterError              a filter that the grammar or the schema refuses
│   ├── DocumentError            a document or a product file
│   ├── JudgmentsError           a judgments file
│   └── ConfigError              the configuration (holds every error found)
├── RefusedError                 4, 409   the input is sound, the outcome is not safe
│   ├── ExportError              a model that cannot be exported faithfully
│   ├── ParityError              native, exported and served scores differ
│   ├── FingerprintError         a model made for other features than these
│   └── ChecksumError            a file that is not what its manifest says
├── NotFoundError                3, 404   an index, model or document that is not there
├── EngineError                  1, 502   the search engine failed
│   ├── EngineUnavailableError   1, 503
│   └── DeadlineError            1, 504   the request's time was up before it could answer
├── RankerError                  1        a ranker failed; a stage turns this into `reverted`
└── OptionalDependencyError      2        an extra is not installed; holds the pip line
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class CascadeError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 1
    status = 500


class InputError(CascadeError):
    """Say that what was given cannot be used."""

    exit_code = 3
    status = 422


class QueryError(InputError):
    """Refuse a request's text, size, sort, preference or paging."""


class FilterError(InputError):
    """Refuse a filter."""


class DocumentError(InputError):
    """Refuse a document or a file of documents."""


class JudgmentsError(InputError):
    """Refuse a file of judgments."""


class ConfigError(InputError):
    """Refuse a configuration; `problems` has one line for each error found."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{source}: {count} problem{'s' if count != 1 else ''}"
        super().__init__("\n  ".join([head, *self.problems]))


class RefusedError(CascadeError):
    """Refuse an outcome that is not safe to ship."""

    exit_code = 4
    status = 409


class ExportError(RefusedError):
    """Refuse to export a model that would not score as it was trained."""


class ParityError(RefusedError):
    """Refuse a model whose native, exported and served scores differ."""


class FingerprintError(RefusedError):
    """Refuse a model that was trained on other features than these."""


class ChecksumError(RefusedError):
    """Refuse a file whose bytes are not those its manifest promises."""


class NotFoundError(CascadeError):
    """Say that a named index, model or document does not exist."""

    exit_code = 3
    status = 404


class EngineError(CascadeError):
    """Say that the search engine failed."""

    status = 502


class EngineUnavailableError(EngineError):
    """Say that the search engine cannot be reached."""

    status = 503


class DeadlineError(EngineError):
    """Say that the request's time was up before the engine could answer."""

    status = 504


class RankerError(CascadeError):
    """Say that a ranker failed on these candidates."""


class OptionalDependencyError(CascadeError):
    """Say which extra is missing and the pip line that installs it."""

    exit_code = 2

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(
            f"{module} is not installed; it comes with the extra {extra!r}: "
            f"pip install 'cascade-ranking[{extra}]'"
        )


def nearest(name: str, valid: Iterable[str], most: int = 8) -> str:
    """Return a phrase that names the valid values, the nearest first.

    Args:
        name: What was given.
        valid: What is accepted.
        most: How many accepted names to list.
    """
    names = sorted({str(v) for v in valid})
    if not names:
        return "there are none"
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    listed = ", ".join(names[:most]) + (
        f" and {len(names) - most} more" if len(names) > most else ""
    )
    return (f"did you mean {close[0]!r}? " if close else "") + f"accepted: {listed}"
