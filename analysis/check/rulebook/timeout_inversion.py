"""MS111: a caller that gives up before its callee does."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.recommend.chain import Link, find_links
from meshslo.analysis.recommend.words import seconds


def _find(subject: Subject) -> Iterator[Hit]:
    """Each link of the chain that traces show, where both timeouts are known; nothing without calls."""
    if subject.observed is None:
        return
    for link in find_links(subject.observed.calls):
        hit = _inspect(link, subject)
        if hit is not None:
            yield hit


def _inspect(link: Link, subject: Subject) -> Hit | None:
    outer, inner = (
        subject.deployed.find("total_timeout", hop.partition(">")[2], route) for hop, route in (link.parent, link.child)
    )
    if outer is None or inner is None or float(outer.value) > float(inner.value):
        return None
    waits = f"{link.parent[0]} ends after {seconds(float(outer.value))}"
    return Hit(
        outer.source, f"{waits}, and waits for {link.child[0]}, which may take {seconds(float(inner.value))} ({inner.source})"
    )


RULE = Rule(
    code="MS111",
    name="timeout-inversion",
    severity="warning",
    finds="A caller's total timeout at or below that of a call it waits for, as traces show who waits for whom. Needs a store.",
    why="The answer is generated to the end for a caller that left: GPU time without a reader.",
    instead="a caller's timeout above its callee's and its own work: `meshslo recommend timeouts` says how far",
    evidence="NVIDIA/nvcf#1064; Envoy's FAQ on timeouts.",
    find=_find,
    needs_calls=True,
)
