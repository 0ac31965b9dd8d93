"""How often tests with a long form go round: MESHSLO_ROUNDS, once unless set (`make soak`: 20)."""

import os
from typing import Final

ROUNDS: Final = int(os.environ.get("MESHSLO_ROUNDS", "1"))
