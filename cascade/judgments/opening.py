"""Files of judgments as text; `.gz` is unpacked."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import IO

from cascade.errors import JudgmentsError


def opened(path: Path) -> IO[str]:
    """Open a file as UTF-8 text.

    Raises:
        JudgmentsError: If it cannot be opened.
    """
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding="utf-8", newline="")
        return path.open(encoding="utf-8", newline="")
    except OSError as error:
        raise JudgmentsError(f"cannot open {path}: {error.strerror}") from None
