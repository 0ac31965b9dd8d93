"""Who calls whom, encrypted or not, proved to be whom; which hosts outside; and what of it crosses a boundary it should not.

It shows what is; what to allow instead, `recommend identity egress` proposes from the same counts.
"""

from .overview import security
from .result import SEVERITIES, Edge, Exposure, Host, Security

__all__ = ["SEVERITIES", "Edge", "Exposure", "Host", "Security", "security"]
