"""Label matchers choose exactly the series that pulled metrics would read as that outcome."""

import json
import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshslo.dashboards.rules.document import producer_called
from meshslo.dashboards.rules.outcomes import outcome_matchers
from meshslo.telemetry.prometheus.labels import outcome_of
from meshslo.telemetry.prometheus.profile import Outcomes
from meshslo.telemetry.prometheus.profiles.linkerd import PROFILE as LINKERD
from meshslo.telemetry.vocabulary import OUTCOMES

RULES = {
    "istio": producer_called("istio").outcomes,
    "meshslo": producer_called("meshslo").outcomes,
    "linkerd": LINKERD.outcomes,
    "present": Outcomes(present={"error_type": "error"}, status="code", otherwise="ok"),
}
FLAGS = st.sampled_from(["", "-", "UT", "DC", "URX,UF", "UF,UT", "DC,UT", "UC", "URX", "DI", "UMSDR", "UTX", "SI,LH"])
CODES = st.sampled_from(["", "0", "200", "206", "404", "408", "429", "499", "500", "503", "504"])
GRPC = st.sampled_from(["", "0", "1", "2", "4", "8", "14", "16"])
WORDS = st.sampled_from(
    ["", "ok", "timeout", "cancelled", "error", "rejected", "IDLE_TIMEOUT", "CANCEL", "REFUSED", "-", "x.y"]
)
LABELS = st.fixed_dictionaries(
    {
        **dict.fromkeys(["response_flags"], FLAGS),
        **dict.fromkeys(["response_code", "status_code", "code"], CODES),
        **dict.fromkeys(["grpc_response_status", "grpc_status_code"], GRPC),
        **dict.fromkeys(["outcome", "error", "error_type"], WORDS),
    }
)
WANTED = st.sets(st.sampled_from(OUTCOMES), min_size=1)


def holds(matcher: str, labels: Mapping[str, str]) -> bool:
    found = re.fullmatch(r'(\w+)(=~|!~|=)"(.*)"', matcher)
    assert found, matcher
    value, pattern = labels.get(found[1], ""), json.loads(f'"{found[3]}"')
    if found[2] == "=":
        return value == pattern
    return (re.fullmatch(pattern, value) is not None) == (found[2] == "=~")


@pytest.mark.parametrize("name", RULES)
@given(labels=LABELS, wanted=WANTED)
def test_a_series_is_in_one_set_exactly_where_its_outcome_is_wanted(
    name: str, labels: dict[str, str], wanted: set[str]
) -> None:
    sets = outcome_matchers(RULES[name], wanted)  # type: ignore[arg-type]
    chosen = [matchers for matchers in sets if all(holds(matcher, labels) for matcher in matchers)]
    assert len(chosen) == (outcome_of(labels, RULES[name]) in wanted)
