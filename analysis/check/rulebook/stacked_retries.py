"""MS212: several layers of one chain that repeat."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.recommend.chain import paths


def _find(subject: Subject) -> Iterator[Hit]:
    """Each repeating hop above another one; nothing without calls, since manifests alone do not say who calls whom."""
    if subject.observed is None:
        return
    for way in paths(sorted({hop for hop, _ in subject.observed.routes})):
        hit = _inspect(way, subject)
        if hit is not None:
            yield hit


def _inspect(way: tuple[str, ...], subject: Subject) -> Hit | None:
    placed = [(hop, subject.deployed.find("retry_attempts", hop.partition(">")[2])) for hop in way]
    repeating = [(hop, value) for hop, value in placed if value is not None and float(value.value) > 0]
    if len(repeating) < 2:
        return None
    worst = 1.0
    for _, value in repeating:
        worst *= 1.0 + float(value.value)
    layers = ", ".join(f"{hop} ({value.value})" for hop, value in repeating)
    return Hit(
        repeating[0][1].source,
        f"{len(repeating)} layers of one chain repeat: {layers}; in an outage one call becomes {worst:g}",
        instead=f"retries at {repeating[-1][0]} alone, the lowest that can, and attempts 0 above",
    )


RULE = Rule(
    code="MS212",
    name="stacked-retries",
    severity="warning",
    finds="Retries on more than one hop of a way through the chain, as calls show the ways. Needs a store.",
    why="Attempts multiply: two retries at each of three layers make 27 calls of one in an outage.",
    instead="retries at the lowest hop that can, and attempts 0 above",
    evidence="Site Reliability Engineering, chapter 22; HKUDS/nanobot#2760, livekit/agents#5335, BerriAI/litellm#25285.",
    find=_find,
    needs_calls=True,
)
