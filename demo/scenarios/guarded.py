"""A scenario of who may call whom: all call, what is exposed is said, least privilege is put in force, and all call again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path as Folder
from typing import Any, Final, Literal

import httpx
import polars as pl
import yaml

from meshslo.analysis import from_calls
from meshslo.analysis.config import Config, Emit
from meshslo.analysis.emit import Document, emit
from meshslo.dashboards.console import err, out
from meshslo.demo.certificates import Authority
from meshslo.demo.processes import Processes, free_ports

from .advice import sentence
from .passage import Errand, Passage, holds, run_errands, show, tally
from .play import announce, arrived, conclude, prepare
from .sidecars import NAMESPACE, WAY_OUT, Sidecars, Workload
from .street import Street, as_text

ENFORCED: Final = Emit(dry_run=False, namespace=NAMESPACE)


@dataclass(frozen=True)
class Guarded:
    """One scenario: who is there, what they ask, and the kind of recommendation that is put in force."""

    name: str
    story: str
    kind: Literal["identity", "egress"]
    callers: tuple[Workload, ...]
    load: Callable[[bool], list[Errand]]
    services: tuple[Workload, ...] = ()
    hosts: tuple[str, ...] = ()
    config: Config = field(default_factory=Config)

    def play(self, folder: Folder, *, quick: bool = False) -> bool:
        """Run it into `folder`; True where after all that is meant gets through, and nothing else.

        Raises DemoError naming the part that failed. Every child has ended on return, whatever happened.
        """
        prepare(folder)
        say = err().print
        errands = self.load(quick)
        announce(self.name, self.story, errands)
        with Processes(folder / "logs") as processes:
            mesh = _Mesh.plan(self, Street.plan(processes, folder, (), {}))
            say(f"run 1 of 2: {len(errands):,} requests, mutual TLS, and nobody refused")
            text = as_text(mesh.sidecars.bootstrap(mesh.street.admin_port, mesh.street.collector_port))
            since = datetime.now(UTC)
            before = mesh.run("before", text, errands)
            calls = arrived(mesh.street, since, lambda calls: calls.filter(self._told).height >= len(errands))
            after_text = self._mended(calls, text)
            say("run 2 of 2: the same requests under what follows from it")
            after = mesh.run("after", after_text, errands)
        show((before, after), out())
        return conclude(self.name, folder, (before, after), holds=holds(before, after))

    @property
    def _told(self) -> pl.Expr:
        """Which rows say who called: a service's proxy by identity, a caller's of a host outside."""
        return pl.col("caller_identity").is_not_null() | pl.col("callee").is_in(self.hosts)

    def _mended(self, calls: pl.DataFrame, text: str) -> str:
        """The bootstrap with the emitted filters, once findings and recommendations are said."""
        store = from_calls(calls)
        say = out().print
        for finding in store.security(config=self.config).findings:
            say(f"{finding.severity} {finding.code} {finding.subject}: {finding.message}.", markup=False, highlight=False)
        found = store.recommend([self.kind], config=self.config)
        for said in dict.fromkeys(sentence(item) for item in found.items if item.proposed is not None):
            say(said, markup=False, highlight=False)
        return as_text(_with_filters(yaml.safe_load(text), emit("envoy", found, settings=ENFORCED).documents))


def _with_filters(body: dict[str, Any], documents: Sequence[Document]) -> dict[str, Any]:
    """The bootstrap with each filter before the router of the listener that it is for."""
    listeners = {listener["name"]: listener for listener in body["static_resources"]["listeners"]}
    for document in documents:
        name = document.path.removesuffix("-rbac.yaml") if document.path.endswith("-rbac.yaml") else ""
        name = name or f"{document.path.removesuffix('-egress.yaml')}{WAY_OUT}"
        manager = listeners[name]["filter_chains"][0]["filters"][0]["typed_config"]
        manager["http_filters"].insert(0, yaml.safe_load(document.text))
    return body


@dataclass(frozen=True)
class _Mesh:
    """The processes of a scenario, and the ports of its sidecars."""

    street: Street
    sidecars: Sidecars

    @classmethod
    def plan(cls, scenario: Guarded, street: Street) -> "_Mesh":
        """Choose ports, make certificates, start the collector."""
        names = Sidecars.names(scenario.callers, scenario.services, scenario.hosts)
        first, *others = names
        ports = dict(zip(others, free_ports(len(others)), strict=True)) | {first: street.proxy_port}
        certificates = street.folder / "certificates"
        certificates.mkdir()
        street.start()
        return cls(street, Sidecars(scenario.callers, scenario.services, scenario.hosts, ports, Authority(certificates)))

    def run(self, name: str, text: str, errands: Sequence[Errand]) -> Passage:
        """Everybody's requests under a bootstrap."""
        self.street.run_proxy(text)
        (self.street.folder / f"{name}.yaml").write_text(text)
        ways_out = {caller.name: self.sidecars.ports[f"{caller.name}{WAY_OUT}"] for caller in self.sidecars.callers}
        statuses = run_errands(errands, ways_out)
        return tally(name, errands, statuses, self._reached())

    def _reached(self) -> int:
        """Requests that came to the applications and hosts behind, as their listeners count them."""
        url = f"http://127.0.0.1:{self.street.admin_port}/stats"
        query = {"filter": r"^http\..*\.downstream_rq_total$", "format": "json"}
        stats = {each["name"]: each["value"] for each in httpx.get(url, params=query, timeout=10).json()["stats"]}
        return sum(stats[f"http.{name}.downstream_rq_total"] for name in self.sidecars.answering)
