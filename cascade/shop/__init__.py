"""The demo marketplace: made from a seed, hard for BM25, with its truth written beside it."""

from cascade.shop.spec import REFERENCE_EPOCH_S, ShopSpec
from cascade.shop.write import ShopFiles, write_shop

__all__ = ["REFERENCE_EPOCH_S", "ShopFiles", "ShopSpec", "write_shop"]
