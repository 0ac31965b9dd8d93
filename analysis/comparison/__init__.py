"""Two versions, models, tenants, zones or windows side by side: what differs beyond noise, and which hop it is."""

from .compare import Asked, compare
from .result import Compared
from .sides import Side, check_apart, check_conditions, check_keys, parse_conditions

__all__ = ["Asked", "Compared", "Side", "check_apart", "check_conditions", "check_keys", "compare", "parse_conditions"]
