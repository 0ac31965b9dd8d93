"""MS213: retries that no budget bounds."""

from collections.abc import Iterator

from . import Finding, Subject, at, once


class NoRetryBudget:
    """Retries set by hand to a callee whose cluster has no retry budget."""

    code = "MS213"
    name = "no-retry-budget"
    why = "without a budget a partial outage becomes a storm of retries (Istio bounds them by 2^32 - 1 at a time)"

    def find(self, subject: Subject) -> Iterator[Finding]:
        """Each retry policy that somebody set, without a budget for its callee."""
        found = []
        for rule in subject.deployed.routes:
            attempts = rule.settings.get("retry_attempts")
            if attempts is None or not float(attempts.value) or not rule.callee:
                continue
            if subject.deployed.find("retry_budget_ratio", rule.callee) is None:
                file, line = at(attempts.source)
                message = (
                    f"calls of {rule.callee} are repeated up to {attempts.value} times each and no budget bounds them together"
                )
                instead = "a retry budget for the callee: `meshslo recommend retries` says which ratio"
                found.append(Finding(self.code, "warning", file, line, message, instead))
        yield from once(found)


RULE = NoRetryBudget()
