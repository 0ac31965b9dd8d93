"""Plotly figures as pure functions of frames: the dashboard and the notebooks draw with the same ones.

A function takes frames whose columns its docstring names (durations in seconds, shares from 0 to 1) and returns a figure. It
estimates nothing: what is in the picture was answered by `meshslo.analysis`.
"""

from .budgets import budgets
from .callers import who_calls_whom
from .chain import call_graph
from .differences import differences
from .endings import endings
from .evidence import evidence, shares_over_time
from .heat import heat_map
from .load import in_progress, load_curve
from .path_shares import path_shares
from .pods import ejections
from .promised import promised_chain
from .promises import promises
from .quantiles import over_time, quantile_dots
from .rates import rate_dots, rate_text
from .survival import Limit, still_running
from .theme import AXES
from .timeouts import timeouts
from .trade_off import trade_off
from .what_if import what_if
from .zones import calls_between_zones

__all__ = [
    "AXES",
    "Limit",
    "budgets",
    "call_graph",
    "calls_between_zones",
    "differences",
    "ejections",
    "endings",
    "evidence",
    "heat_map",
    "in_progress",
    "load_curve",
    "over_time",
    "path_shares",
    "promised_chain",
    "promises",
    "quantile_dots",
    "rate_dots",
    "rate_text",
    "shares_over_time",
    "still_running",
    "timeouts",
    "trade_off",
    "what_if",
    "who_calls_whom",
]
