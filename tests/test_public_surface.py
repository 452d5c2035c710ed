"""`cascade.__all__` is the public surface: sorted, complete, and nothing beside it."""

import __future__

from types import ModuleType

import cascade


def public_names(package: ModuleType) -> set[str]:
    """Return what a reader of the package finds: no submodules, nothing private."""
    return {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and not isinstance(value, (ModuleType, __future__._Feature))
    }


def test_all_is_sorted_and_has_no_name_twice():
    assert cascade.__all__ == sorted(set(cascade.__all__), key=str.casefold)


def test_every_name_in_all_can_be_imported():
    missing = [name for name in cascade.__all__ if not hasattr(cascade, name)]
    assert missing == []


def test_all_names_no_module():
    modules = [n for n in cascade.__all__ if isinstance(getattr(cascade, n), ModuleType)]
    assert modules == []


def test_nothing_public_is_missing_from_all():
    # Resolving every name first fills in those that the package loads on demand.
    for name in cascade.__all__:
        getattr(cascade, name)
    assert public_names(cascade) | {"__version__"} == set(cascade.__all__)


def test_a_public_name_beside_all_is_seen():
    planted = ModuleType("planted")
    planted.Query = type("Query", (), {})
    planted.errors = ModuleType("planted.errors")
    planted._private = 1
    assert public_names(planted) == {"Query"}
