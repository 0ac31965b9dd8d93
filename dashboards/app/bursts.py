"""How the calls of a window spread over blocks of time, kept as other answers are: it takes a pass over them."""

import polars as pl
import streamlit as st

from meshslo.analysis.scope import Scope
from meshslo.analysis.spread import Places

from .answers import KEPT, KEPT_S, Asked, opened
from .filters import Filters


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner="Looking at bursts ...")
def spread(
    asked: Asked,
    scope: Scope,
    shown: tuple[Filters, tuple[str, ...], tuple[float, ...]],  # noqa: ARG001 - what the answer is kept by
    _places: Places,
) -> pl.DataFrame:
    """`store.spread`; shown: the filters, keys and quantiles that the places follow from."""
    return opened(asked).spread(scope, _places)
