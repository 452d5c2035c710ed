"""What loggers call an action, and which of our actions that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cascade.errors import InputError, nearest
from cascade.events.tables import ACTIONS, CART, CLICK, FAVOURITE, IMPRESSION, PURCHASE

# Names are compared without case, blanks, hyphens and underscores: "Add To Cart" is "addtocart".
_KNOWN = {
    IMPRESSION: "impression impressions itemimpression productimpression viewitemlist",
    CLICK: "click clicks itemclick productclick resultclick clickresult searchclick selectitem",
    FAVOURITE: "favourite favorite addtofavourites addtofavorites wishlist addtowishlist like save "
    "bookmark",
    CART: "cart addtocart addtobasket basket cartadd",
    PURCHASE: "purchase buy bought order conversion transaction",
}
_ACTION_OF = {name: action for action, names in _KNOWN.items() for name in names.split()}


@dataclass(frozen=True)
class Actions:
    """Know the action of a name.

    Attributes:
        named: Names beyond the known ones, and what each is; "" means that it is left out.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    _found: dict[str, str | None] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, action in self.named.items():
            if action and action not in ACTIONS:
                raise InputError(
                    f'action {action!r} of {name!r}; {nearest(action, ACTIONS)}, or "" to leave it'
                )

    def of(self, name: str) -> str | None:
        """Return the action of a name, or None for one that is left out."""
        if name not in self._found:
            named = {_plain(given): action for given, action in self.named.items()}
            plain = _plain(name)
            self._found[name] = named.get(plain, _ACTION_OF.get(plain)) or None
        return self._found[name]


def _plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())
