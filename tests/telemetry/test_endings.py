"""Who gave up, told from what was raised."""

import asyncio
import socket
from typing import Any

import httpx
import pytest

from meshslo.telemetry.boundary import is_inside
from meshslo.telemetry.endings import ending_of_exception, ending_of_status
from meshslo.telemetry.outcome import HTTP_OUTCOMES
from meshslo.telemetry.routes import route_template


@pytest.mark.parametrize(
    ("error", "outcome", "error_type"),
    [
        (asyncio.CancelledError(), "cancelled", None),
        (GeneratorExit(), "cancelled", None),
        (TimeoutError(), "timeout", "TimeoutError"),
        (socket.timeout(), "timeout", "TimeoutError"),  # noqa: UP041 - the old name is what is tested
        (ConnectionRefusedError(), "rejected", "ConnectionRefusedError"),
        (ConnectionResetError(), "error", "ConnectionResetError"),
        (httpx.ReadTimeout(""), "timeout", "httpx.ReadTimeout"),
        (httpx.ConnectTimeout(""), "rejected", "httpx.ConnectTimeout"),
        (ValueError(), "error", "ValueError"),
    ],
)
def test_an_exception_says_who_gave_up(error: BaseException, outcome: str, error_type: str | None) -> None:
    ending = ending_of_exception(error)
    assert (ending.outcome, ending.error_type, ending.complete) == (outcome, error_type, False)


@pytest.mark.parametrize("status", sorted(HTTP_OUTCOMES))
def test_a_status_with_a_meaning_of_its_own_is_its_error_type(status: int) -> None:
    ending = ending_of_status(status)
    assert (ending.outcome, ending.error_type, ending.complete) == (HTTP_OUTCOMES[status], str(status), True)


@pytest.mark.parametrize(
    "host", ["generator", "127.0.0.1", "[::1]", "10.9.8.7", "192.168.1.1", "a.ns.svc", "A.Local", "x.internal."]
)
def test_hosts_of_the_mesh_are_inside(host: str) -> None:
    assert is_inside(host)


@pytest.mark.parametrize(
    "host", ["api.openai.com", "8.8.8.8", "local.example.com", "evil-svc.com", "svc.evil.io", "", "2001:4860:4860::8888"]
)
def test_hosts_of_the_world_are_outside(host: str) -> None:
    assert not is_inside(host)


class Matched:
    methods = frozenset({"GET"})
    path_format = "/items/{item}"


@pytest.mark.parametrize(
    ("scope", "route"),
    [
        ({}, None),
        ({"route": Matched()}, "/items/{item}"),
        ({"route": Matched(), "root_path": "/proxied"}, "/items/{item}"),
        (
            {
                "route": Matched(),
                "root_path": "/p/t/acme",
                "app_root_path": "/p",
                "path_params": {"tenant": "acme", "item": "acme"},
            },
            "/t/{tenant}/items/{item}",
        ),
        (
            {"route": Matched(), "root_path": "/f/a/b", "app_root_path": "", "path_params": {"folder": "a/b"}},
            "/f/{folder}/items/{item}",
        ),
    ],
)
def test_a_route_is_its_template(scope: dict[str, Any], route: str | None) -> None:
    assert route_template(scope) == route
