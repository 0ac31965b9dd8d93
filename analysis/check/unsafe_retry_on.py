"""MS211: retries after failures that the callee may have begun to work on."""

from collections.abc import Iterator
from typing import Final

from meshslo.analysis.policy.deployed import RouteRule
from meshslo.analysis.policy.settings import SAFE_CONDITIONS
from meshslo.analysis.recommend.failures import count_attempts
from meshslo.analysis.recommend.retry_effects import split_conditions
from meshslo.analysis.recommend.words import count

from . import Finding, Subject, at, once

IN_HEADERS_ONLY: Final = frozenset({"unavailable", "cancelled", "retriable-headers", "envoy-ratelimited"})
"""gRPC statuses that fire on response headers alone, and contracts with the server: no HTTP answer that ran matches them."""


class UnsafeRetryOn:
    """Conditions such as 5xx, gateway-error or reset on a route that is not known to be idempotent."""

    code = "MS211"
    name = "unsafe-retry-on"
    why = "a generation that had begun runs twice: tokens are paid twice and tools act twice (istio/istio#50506, #13851)"

    def find(self, subject: Subject) -> Iterator[Finding]:
        """Each such `retry_on` with retries switched on."""
        yield from once([found for rule in subject.deployed.routes if (found := self._finding(rule, subject)) is not None])

    def _finding(self, rule: RouteRule, subject: Subject) -> Finding | None:
        conditions, attempts = rule.settings.get("retry_on"), rule.settings.get("retry_attempts")
        if conditions is None or attempts is None or not float(attempts.value):
            return None
        unsafe = sorted(split_conditions(str(conditions.value)) - set(SAFE_CONDITIONS) - IN_HEADERS_ONLY)
        if not unsafe or self._is_idempotent(rule, subject):
            return None
        file, line = at(conditions.source)
        repeated = self._repeated(rule, subject)
        seen = f"; {count(repeated)} calls were repeated" if repeated else ""
        return Finding(
            code=self.code,
            severity="error" if repeated else "warning",
            file=file,
            line=line,
            message=f"calls of {rule.callee} are repeated after {', '.join(unsafe)}, when it may have begun to work{seen}",
            instead=f"retry on {','.join(SAFE_CONDITIONS)}, or say that the hop is idempotent in meshslo.toml",
            confirmed=repeated > 0,
        )

    @staticmethod
    def _is_idempotent(rule: RouteRule, subject: Subject) -> bool:
        config = subject.observed.config if subject.observed else None
        hops = config.hops.items() if config else ()
        return any(settings.idempotent for hop, settings in hops if hop.partition(">")[2] == rule.callee)

    @staticmethod
    def _repeated(rule: RouteRule, subject: Subject) -> int:
        if subject.observed is None:
            return 0
        attempts = count_attempts(subject.observed.calls, subject.observed.config)
        return sum(
            int(seen.tries.sum()) - seen.calls for (hop, _), seen in attempts.items() if hop.partition(">")[2] == rule.callee
        )


RULE = UnsafeRetryOn()
