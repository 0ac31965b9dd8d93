"""Time by tokens: per output token, and the total given how much was asked and answered; so that a mix is not a slowness."""

from .fit import Fit, fit
from .report import PerToken, TokenTimes, token_times
from .timeout import TokenTimeout, timeout_for_tokens

__all__ = ["Fit", "PerToken", "TokenTimeout", "TokenTimes", "fit", "timeout_for_tokens", "token_times"]
