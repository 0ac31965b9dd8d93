"""MS212: several layers of one chain that repeat."""

from collections.abc import Iterator

from meshslo.analysis.recommend.chain import paths

from . import Finding, Subject, at, once


class StackedRetries:
    """Retries on more than one hop of a way through the chain, as calls show the ways."""

    code = "MS212"
    name = "stacked-retries"
    why = "attempts multiply: two retries at each of three layers make 27 calls of one in an outage (SRE book, chapter 22)"

    def find(self, subject: Subject) -> Iterator[Finding]:
        """Each repeating hop above another one; nothing without calls, since manifests alone do not say who calls whom."""
        if subject.observed is None:
            return
        hops = sorted({hop for hop, _ in subject.observed.routes})
        yield from once([found for way in paths(hops) if (found := self._finding(way, subject)) is not None])

    def _finding(self, way: tuple[str, ...], subject: Subject) -> Finding | None:
        placed = [(hop, subject.deployed.find("retry_attempts", hop.partition(">")[2])) for hop in way]
        repeating = [(hop, value) for hop, value in placed if value is not None and float(value.value) > 0]
        if len(repeating) < 2:
            return None
        worst = 1.0
        for _, value in repeating:
            worst *= 1.0 + float(value.value)
        file, line = at(repeating[0][1].source)
        layers = ", ".join(f"{hop} ({value.value})" for hop, value in repeating)
        return Finding(
            code=self.code,
            severity="warning",
            file=file,
            line=line,
            message=f"{len(repeating)} layers of one chain repeat: {layers}; in an outage one call becomes {worst:g}",
            instead=f"retries at {repeating[-1][0]} alone, the lowest that can, and attempts 0 above",
        )


RULE = StackedRetries()
