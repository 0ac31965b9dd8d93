"""`meshslo collect`: receive spans, metrics and access logs into a store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshslo.dashboards.console import DEFAULT_STORE, StoreOption

from . import Command

if TYPE_CHECKING:
    from meshslo.telemetry.collect.access import Tls


def collect(
    store: StoreOption = DEFAULT_STORE,
    grpc: Annotated[str, typer.Option(help="Address for OTLP over gRPC; port 0 takes any free one.")] = "127.0.0.1:4317",
    http: Annotated[str, typer.Option(help="Address for OTLP over HTTP (and /healthz).")] = "127.0.0.1:4318",
    ready_file: Annotated[
        Path | None, typer.Option(help="File that gets the addresses as JSON once both ports listen.", show_default=False)
    ] = None,
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the rest of a trace before its calls are written.")
    ] = 10.0,
    max_message_mib: Annotated[int, typer.Option(min=1, help="Largest batch to take, also once decompressed.")] = 20,
    max_connections: Annotated[int, typer.Option(min=1, help="Connections of each port; more are turned away.")] = 1000,
    max_attributes: Annotated[
        int,
        typer.Option(
            min=1, help="Attributes that a resource, span, log record or data point may have; one with more is rejected."
        ),
    ] = 256,
    max_attribute_kib: Annotated[
        int, typer.Option(min=1, help="Largest attribute; a span with a larger one is rejected.")
    ] = 256,
    retention: Annotated[
        str | None,
        typer.Option(help="Keep calls and metrics sent here for so long, such as 30d; default for ever.", show_default=False),
    ] = None,
    max_gib: Annotated[
        float | None, typer.Option(min=0.001, help="Keep so many GiB of calls, dropping the oldest hours.", show_default=False)
    ] = None,
    min_free_mib: Annotated[int, typer.Option(min=0, help="Room to leave on the disk; short of it, senders must wait.")] = 128,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate of the collector.", show_default=False)] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM key of the certificate.", show_default=False)] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="Senders must show a certificate signed by this PEM one.", show_default=False)
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(
            help="File of lines TOKEN or TOKEN TENANT,TENANT: senders must show one as bearer token.", show_default=False
        ),
    ] = None,
    forward: Annotated[
        str | None,
        typer.Option(help="OTLP endpoint (gRPC) that gets everything too, such as https://tempo:4317.", show_default=False),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen on other than loopback addresses unencrypted.")] = False,
) -> None:
    """Receive OTLP traces, metrics and access logs over gRPC and HTTP into a store.

    A batch is answered once it is on the disk. Prints a line of JSON with the addresses when it is ready; SIGTERM or Ctrl-C
    moves everything into Parquet and ends. `meshslo fold` beside it keeps reports on long windows fast.

    Example: meshslo collect --store ./meshslo-store --grpc 127.0.0.1:4317 --http 127.0.0.1:4318
    """
    from meshslo.dashboards.moments import parse_length_s
    from meshslo.telemetry.collect import CollectSettings, parse_address
    from meshslo.telemetry.collect import collect as run
    from meshslo.telemetry.collect.access import read_tokens
    from meshslo.telemetry.collect.settings import parse_target
    from meshslo.telemetry.collect.signals import Limits
    from meshslo.telemetry.store.housekeeping import KeepSettings, WorkerSettings
    from meshslo.telemetry.store.ingest import IngestSettings
    from meshslo.telemetry.store.journal import JournalSettings

    age_s = None if retention is None else parse_length_s(retention, "--retention")
    run(
        CollectSettings(
            store=Path(store),
            grpc=parse_address(grpc),
            http=parse_address(http),
            insecure=insecure,
            tls=_tls(tls_cert, tls_key, tls_client_ca),
            tokens=read_tokens(tokens),
            forward=None if forward is None else parse_target(forward),
            ready_file=ready_file,
            max_message_bytes=max_message_mib * 2**20,
            max_connections=max_connections,
            limits=Limits(max_attributes, max_attribute_kib * 2**10),
            journal=JournalSettings(min_free_bytes=min_free_mib * 2**20),
            worker=WorkerSettings(
                IngestSettings(settle_s=settle),
                KeepSettings(max_age_s=age_s, max_bytes=None if max_gib is None else int(max_gib * 2**30)),
            ),
        )
    )


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> "Tls | None":
    """TLS from its three options; BadConfigError where one of them lacks another."""
    from meshslo.telemetry.collect.access import Tls
    from meshslo.telemetry.errors import BadConfigError

    if certificate is not None and key is not None:
        return Tls(certificate, key, client_ca)
    if certificate is None and key is None and client_ca is None:
        return None
    raise BadConfigError("--tls-cert and --tls-key belong together, and --tls-client-ca needs both; pass all of them or none")


COMMAND = Command(collect)
