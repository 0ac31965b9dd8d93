"""`check`: what existing manifests do wrong, sharpened by what calls show. The rules stand in `rulebook`, one file each.

A rule states what it finds, why that hurts, what to do instead and on what evidence; without calls its findings are latent,
with calls that show the harm they are confirmed. Findings say file and line. What cannot be read is a finding too, and the
rest is still checked.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from meshslo.analysis.checking import Ignore
from meshslo.analysis.policy.deployed import read_what_can_be
from meshslo.analysis.policy.kinds import is_known
from meshslo.analysis.policy.manifest import Manifest, load
from meshslo.analysis.recommend.observed import Observed
from meshslo.telemetry.discovery import members
from meshslo.telemetry.errors import BadInputError

from . import rulebook
from .findings import Findings
from .pages import page, pages
from .rule import SEVERITIES, Finding, Hit, Rule, Severity, Subject, apply, unreadable
from .silence import Silence, parse_baseline, to_baseline, with_fingerprints

__all__ = [
    "SEVERITIES",
    "Asked",
    "Finding",
    "Findings",
    "Hit",
    "Rule",
    "Severity",
    "Subject",
    "check",
    "page",
    "pages",
    "parse_baseline",
    "rules",
    "to_baseline",
]


@dataclass(frozen=True)
class Asked:
    """How to check: the header that names models, versions of meshes by name, what to keep quiet about."""

    model_header: str = "x-model"
    versions: Mapping[str, str] = field(default_factory=dict)
    ignores: Sequence[Ignore] = ()
    baseline: frozenset[str] = frozenset()


def rules() -> list[Rule]:
    """Every rule there is, by code: those of the rulebook and those of the entry points `meshslo.rules`."""
    found: list[Rule] = list(members(rulebook, "RULE"))  # type: ignore[arg-type]  # the contract suite holds it
    return sorted(found, key=lambda rule: rule.code)


def check(texts: Mapping[str, str], observed: Observed | None = None, asked: Asked = Asked()) -> Findings:
    """Findings in manifests (file name -> text), sharpened by what was observed.

    A file or manifest that cannot be read is a finding of its own and the others are still checked; BadInputError where
    nothing could be.
    """
    manifests, broken = _readable(texts)
    looked_at = [manifest for manifest in manifests if is_known(manifest)]
    if not looked_at:
        raise BadInputError("; ".join(str(error) for error in broken.values()) or _nothing(manifests, texts))
    deployed, errors = read_what_can_be(looked_at, asked.model_header)
    subject = Subject(
        deployed, tuple(manifests), None if observed is None else replace(observed, deployed=deployed), asked.versions
    )
    applied = tuple(rules())
    unread = {*map(unreadable, errors), *(unreadable(error, name) for name, error in broken.items())}
    found = {*unread, *(item for rule in applied for item in apply(rule, subject))}
    ordered = sorted(found, key=lambda item: (item.file, item.line or 0, item.code, item.message))
    silence = Silence(texts, manifests, asked.ignores)
    heard = list(with_fingerprints((item for item in ordered if not silence.covers(item)), texts))
    new = tuple(item for item in heard if item.fingerprint not in asked.baseline)
    passed = Counter(_kind(manifest) for manifest in manifests if not is_known(manifest))
    waiting = tuple(rule.code for rule in applied if rule.needs_calls and observed is None)
    return Findings(new, applied, len(ordered) - len(heard), len(heard) - len(new), dict(sorted(passed.items())), waiting)


def _readable(texts: Mapping[str, str]) -> tuple[list[Manifest], dict[str, BadInputError]]:
    """What can be read, and why which file cannot."""
    manifests: list[Manifest] = []
    broken = {}
    for name, text in texts.items():
        try:
            manifests += load(text, name)
        except BadInputError as error:
            broken[name] = error
    return manifests, broken


def _kind(manifest: Manifest) -> str:
    return f"{manifest.body.get('apiVersion', '')} {manifest.kind}".strip() or "no kind"


def _nothing(manifests: Sequence[Manifest], texts: Mapping[str, str]) -> str:
    held = ", ".join(sorted({_kind(manifest) for manifest in manifests})) or "nothing"
    return f"nothing to check in {', '.join(texts)}: rules look at policies of meshes and gateways, and there is {held}"
