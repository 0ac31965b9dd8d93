"""Who may see which tenants: by verified address, by subject, by group; nobody by accident."""

from typing import Any

import pytest

from meshslo.analysis.access import Access
from meshslo.analysis.config import parse_config
from meshslo.telemetry.errors import BadConfigError

ACCESS = Access(
    login="default",
    users={"ana@example.com": ("acme",), "sub-7": ("birch",)},
    groups={"acme-oncall": ("acme", "acme-test"), "sre": ("*",)},
)


@pytest.mark.parametrize(
    ("claims", "tenants"),
    [
        ({"email": "ana@example.com", "email_verified": True}, ("acme",)),
        ({"email": "ANA@example.com", "email_verified": "true"}, ("acme",)),
        ({"sub": "sub-7"}, ("birch",)),
        ({"email": "ana@example.com", "email_verified": True, "sub": "sub-7"}, ("acme", "birch")),
        ({"groups": ["acme-oncall", "others"], "sub": "sub-7"}, ("acme", "acme-test", "birch")),
        ({"groups": "acme-oncall"}, ("acme", "acme-test")),
        ({"groups": ["acme-oncall", "sre"]}, None),
    ],
)
def test_what_is_listed_is_granted(claims: dict[str, Any], tenants: tuple[str, ...] | None) -> None:
    assert ACCESS.tenants(claims) == tenants


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"email": "bob@example.com", "email_verified": True},
        # Whoever may type an address of their own at the provider must not become somebody else here.
        {"email": "ana@example.com"},
        {"email": "ana@example.com", "email_verified": False},
        {"email": "ana@example.com", "email_verified": "false"},
        {"email": "sub-7", "email_verified": False},
        {"name": "ana@example.com", "preferred_username": "ana@example.com"},
        {"sub": None, "groups": None},
        {"groups": {"sre": 1}},
        {"groups": 7},
        {"roles": ["sre"]},
    ],
)
def test_who_is_listed_nowhere_sees_nothing(claims: dict[str, Any]) -> None:
    assert ACCESS.tenants(claims) == ()


def test_groups_may_be_another_claim() -> None:
    access = Access(login="okta", groups_claim="roles", groups={"sre": ("*",)})
    assert access.tenants({"roles": ["sre"]}) is None
    assert access.tenants({"groups": ["sre"]}) == ()


def test_without_lists_a_login_is_enough() -> None:
    assert Access(login="default").tenants({"sub": "anybody"}) is None


def test_lists_without_a_login_are_refused() -> None:
    with pytest.raises(BadConfigError, match="limit nobody while nobody logs in"):
        parse_config('[dashboard.users]\n"ana@example.com" = ["acme"]\n')
    with pytest.raises(BadConfigError, match='did you mean "users"'):
        parse_config('[dashboard]\nlogin = "default"\nuser = {}\n')
