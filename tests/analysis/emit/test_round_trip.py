"""What was emitted is what is found deployed: applied once, the same calls ask for nothing new."""

import pytest

from meshslo.analysis.emit import Emitter, emit, emitters
from meshslo.analysis.policy.deployed import read_deployed
from meshslo.analysis.recommend import Recommendations, observe, recommend
from tests.support.scenes import CONFIG, chain_calls


@pytest.fixture(scope="module")
def advice() -> Recommendations:
    return recommend(observe(chain_calls().lazy(), CONFIG))


@pytest.mark.parametrize("emitter", emitters().values(), ids=lambda each: each.name)
def test_applied_once_nothing_new_is_proposed(emitter: Emitter, advice: Recommendations) -> None:
    emission = emit(emitter.name, advice)
    deployed = read_deployed({document.path: document.text for document in emission.documents})
    again = recommend(observe(chain_calls().lazy(), CONFIG, deployed))
    inexpressible = {(item.setting, item.target) for item in emission.unexpressed}
    asked = [item for item in again.items if (item.setting, item.target) not in inexpressible]
    assert [item for item in asked if item.status in ("change", "explore")] == []
    kept = {(item.setting, item.target) for item in asked if item.status == "keep" and item.current is not None}
    proposed = {(item.setting, item.target) for item in advice.items if item.proposed is not None} - inexpressible
    assert len(kept & proposed) >= 10
