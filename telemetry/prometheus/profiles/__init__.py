"""Profiles of the producers that meshslo knows: one table a file, ending in `PROFILE = Profile(...)`.

A profile holds names, units and edges, no code; `telemetry.prometheus.profile` says what each key means. Packages of users
add theirs through the entry points `meshslo.profiles`, and a config file through tables `[profiles.NAME]`.
"""

import sys
from collections.abc import Sequence
from typing import cast

from meshslo.telemetry.discovery import members
from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.prometheus.profile import Profile


def chosen(names: Sequence[str], own: Sequence[Profile] = ()) -> list[Profile]:
    """The profiles of these names, or all there are where none is named; `own` stand before the built-in ones.

    BadConfigError for a name that no profile has.
    """
    known = {profile.name: profile for profile in [*_built_in(), *own]}
    wrong = [name for name in names if name not in known]
    if wrong:
        raise BadConfigError(f"no profile called {', '.join(wrong)}; there are {', '.join(known)}")
    return [known[name] for name in names or known]


def _built_in() -> list[Profile]:
    return [cast("Profile", member) for member in members(sys.modules[__name__], "PROFILE")]
