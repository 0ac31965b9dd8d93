"""What scenarios have in common: recommendations from the calls, and the bootstrap that holds them."""

from meshslo.analysis.config import Config
from meshslo.analysis.emit import emit
from meshslo.analysis.policy.deployed import read_deployed
from meshslo.analysis.recommend import Recommendation, observe, recommend
from meshslo.dashboards.text import amount_text

from . import Evidence, Mended


def advise(evidence: Evidence, *kinds: str, config: Config | None = None) -> Mended:
    """The recommendations of these kinds, put into the bootstraps in use."""
    observed = observe(evidence.calls.lazy(), config, read_deployed(evidence.manifests))
    found = recommend(observed, kinds)
    emitted = emit("envoy", found, manifests=evidence.manifests).documents
    manifests = dict(evidence.manifests) | {document.path: document.text for document in emitted}
    return Mended(manifests, tuple(sentence(item) for item in found.items))


def sentence(item: Recommendation) -> str:
    """A recommendation as a person says it."""
    value = "-" if item.proposed is None else amount_text(item.proposed.value, item.proposed.unit)
    return f"{item.setting} {value} [{item.status}]: {item.reason}."
