"""MS111: a caller that gives up before its callee does."""

from collections.abc import Iterator

from meshslo.analysis.recommend.chain import Link, find_links
from meshslo.analysis.recommend.words import seconds

from . import Finding, Subject, at, once


class TimeoutInversion:
    """A caller's total timeout at or below that of a call it waits for."""

    code = "MS111"
    name = "timeout-inversion"
    why = "the answer is generated to the end for a caller that left: GPU time without a reader (Envoy FAQ, timeouts)"

    def find(self, subject: Subject) -> Iterator[Finding]:
        """Each link of the chain that traces show, where both timeouts are known; nothing without calls."""
        if subject.observed is None:
            return
        links = find_links(subject.observed.calls)
        yield from once([found for link in links if (found := self._finding(link, subject)) is not None])

    def _finding(self, link: Link, subject: Subject) -> Finding | None:
        outer, inner = (
            subject.deployed.find("total_timeout", hop.partition(">")[2], route) for hop, route in (link.parent, link.child)
        )
        if outer is None or inner is None or float(outer.value) > float(inner.value):
            return None
        file, line = at(outer.source)
        waits = f"{link.parent[0]} ends after {seconds(float(outer.value))}"
        return Finding(
            code=self.code,
            severity="warning",
            file=file,
            line=line,
            message=f"{waits}, and waits for {link.child[0]}, which may take {seconds(float(inner.value))} ({inner.source})",
            instead="a caller's timeout above its callee's and its own work: `meshslo recommend timeouts` says how far",
        )


RULE = TimeoutInversion()
