"""Who may see which tenants on the dashboard: the table `[dashboard]` of meshslo.toml.

[dashboard]
login = "default"                # [auth] of Streamlit's secrets file; "okta" for its [auth.okta]

[dashboard.users]                # verified e-mail address, or the provider's `sub`
"ana@example.com" = ["*"]        # every tenant

[dashboard.groups]               # values of the claim `groups`
acme-oncall = ["acme", "acme-test"]
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Tenants = tuple[str, ...] | None
"""Names in order; None is every tenant, and calls without one."""

EVERY: Final = "*"


class Access(BaseModel):
    """Whether people log in, and what each may see; without `users` and `groups` whoever logs in sees every tenant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    login: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] | None = None
    """Provider in Streamlit's secrets file that people log in with; nobody has to where absent."""
    groups_claim: Annotated[str, Field(min_length=1)] = "groups"
    """Claim of the identity token that holds a person's groups: a list, or one name."""
    users: dict[str, tuple[str, ...]] = {}
    """Verified e-mail address, or the provider's `sub` -> the tenants that this person sees; `"*"` is every one."""
    groups: dict[str, tuple[str, ...]] = {}
    """Value of the claim -> the tenants that its people see."""

    @model_validator(mode="after")
    def _limits_somebody(self) -> Self:
        if (self.users or self.groups) and self.login is None:
            raise ValueError(
                'users and groups limit nobody while nobody logs in: set dashboard.login = "default", or leave them out'
            )
        return self

    def tenants(self, claims: Mapping[str, Any]) -> Tenants:
        """What somebody with these claims of an identity token may see; nothing where no name or group of theirs is listed.

        >>> access = Access(login="default", users={"ana@example.com": ("acme",)}, groups={"sre": ("*",)})
        >>> access.tenants({"email": "Ana@example.com", "email_verified": True})
        ('acme',)
        >>> access.tenants({"email": "ana@example.com"}), access.tenants({"groups": ["sre"]})
        ((), None)
        """
        if not self.users and not self.groups:
            return None
        granted = {tenant for names in self._granted(claims) for tenant in names}
        return None if EVERY in granted else tuple(sorted(granted))

    def _granted(self, claims: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
        # An address that nobody has verified is whatever its owner typed. Some providers send booleans as text.
        verified = claims.get("email_verified") in (True, "true")
        address = str(claims.get("email") or "").casefold() if verified else ""
        yield from (names for user, names in self.users.items() if address and user.casefold() == address)
        yield self.users.get(str(claims.get("sub") or ""), ())
        said = claims.get(self.groups_claim)
        groups = said if isinstance(said, list | tuple) else [said]
        yield from (self.groups.get(str(group), ()) for group in groups)
