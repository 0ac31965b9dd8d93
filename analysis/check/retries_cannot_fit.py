"""MS214: retries for which the total timeout leaves no time."""

from collections.abc import Iterator

from meshslo.analysis.policy.deployed import RouteRule
from meshslo.analysis.recommend.chain import back_off_s
from meshslo.analysis.recommend.words import seconds

from . import Finding, Subject, at, once


class RetriesCannotFit:
    """Attempts x per-try timeout + back-off that exceed the route's timeout."""

    code = "MS214"
    name = "retries-cannot-fit"
    why = (
        "the total timer ends the call before the promised attempts were made: the resilience is fictional (istio/istio#21137)"
    )

    def find(self, subject: Subject) -> Iterator[Finding]:
        """Each route with a per-try timeout whose attempts do not fit."""
        yield from once([found for rule in subject.deployed.routes if (found := self._finding(rule)) is not None])

    def _finding(self, rule: RouteRule) -> Finding | None:
        per_try, total, attempts = (rule.settings.get(n) for n in ("per_try_timeout", "total_timeout", "retry_attempts"))
        if per_try is None or total is None or attempts is None or not float(attempts.value):
            return None
        retries = int(float(attempts.value))
        needed_s = float(per_try.value) * (retries + 1) + back_off_s(retries)
        # Sums of decimal fractions are off in the last digit.
        if needed_s <= float(total.value) + 1e-9:
            return None
        file, line = at(per_try.source)
        return Finding(
            code=self.code,
            severity="warning",
            file=file,
            line=line,
            message=(
                f"{retries + 1} attempts at {rule.callee} of {seconds(float(per_try.value))} each need {seconds(needed_s)} "
                f"with back-off, and the call ends after {seconds(float(total.value))}"
            ),
            instead=f"a total timeout of {seconds(needed_s)} or more, or fewer attempts",
        )


RULE = RetriesCannotFit()
