"""MS112: a route that nobody gave a timeout, and that has one."""

from collections.abc import Iterator

from meshslo.analysis.policy.deployed import is_default
from meshslo.analysis.recommend.words import seconds

from . import Finding, Subject, at, once


class DefaultTimeout:
    """Envoy's 15 s on a route without `timeout`."""

    code = "MS112"
    name = "default-timeout"
    why = "Envoy's route timeout is 15 s where none is set, and covers the whole body: longer streams are cut, logged as 200"

    def find(self, subject: Subject) -> Iterator[Finding]:
        """Each route under a default total timeout."""
        found = []
        for rule in subject.deployed.routes:
            total = rule.settings.get("total_timeout")
            if total is not None and is_default(total.source):
                file, line = at(total.source)
                message = f"calls of {rule.callee} end after {seconds(float(total.value))}, which nobody set"
                instead = (
                    "the timeout that the calls justify, or `timeout: 0s` for none; `meshslo recommend timeouts` says which"
                )
                found.append(Finding(self.code, "warning", file, line, message, instead))
        yield from once(found)


RULE = DefaultTimeout()
