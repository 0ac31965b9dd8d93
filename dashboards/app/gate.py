"""Who is looking: logs people in where the config asks for it, and says which tenants they may see."""

import sys
from typing import Any, Final

import streamlit as st
from streamlit.errors import StreamlitAuthError

from meshslo.analysis.access import Access, Tenants
from meshslo.dashboards.inputs import read_config
from meshslo.telemetry.errors import BadConfigError, MeshsloError

from .start import Start

# The provider sends everybody to the first page, without filters: the browser's tab keeps the address until they are in.
_REMEMBER: Final = "<script>sessionStorage.setItem('meshslo', location.href)</script>"
_RETURN: Final = """<script>
  const asked = sessionStorage.getItem('meshslo')
  sessionStorage.removeItem('meshslo')
  if (asked && asked !== location.href) location.replace(asked)
</script>"""


class NotAdmittedError(MeshsloError):
    """Whoever is looking may see nothing, or nothing yet; the message is what they are told."""

    def __init__(self, message: str, provider: str | None = None) -> None:
        """`provider`: whom to log in with, where that may help."""
        super().__init__(message)
        self.provider = provider


def tenants(start: Start) -> Tenants:
    """What whoever is looking may see; None is everything, as where nobody logs in.

    NotAdmittedError where they have not logged in, or are listed nowhere; BadConfigError where the config cannot be read.
    """
    access = _access(start)
    if access.login is None:
        return None
    claims = _claims()
    if not claims.get("is_logged_in"):
        raise NotAdmittedError("log in to see this dashboard", access.login)
    granted = access.tenants(claims)
    if granted == ():
        raise NotAdmittedError(f"no tenant is open to {_name(claims)}: who runs this dashboard can list {_listable(claims)}")
    return granted


def passed(start: Start) -> bool:
    """Whether there is a page to draw; else what is drawn is the way in."""
    try:
        tenants(start)
    except NotAdmittedError as reason:
        _draw_door(reason)
        return False
    except BadConfigError:
        # Nobody has to log in, so the page itself says what is wrong with the config.
        return True
    return True


def tell_reader(start: Start) -> None:
    """Say who is logged in and what they may see, with the way out; nothing where nobody is."""
    claims = _claims()
    if not claims.get("is_logged_in"):
        return
    granted = tenants(start)
    st.caption(f"{_name(claims)}: {'all tenants' if granted is None else ', '.join(granted)}")
    st.button("Log out", icon=":material/logout:", on_click=st.logout, width="stretch")
    st.html(_RETURN, unsafe_allow_javascript=True)


def _access(start: Start) -> Access:
    try:
        access = read_config(start.config_path).dashboard
    except BadConfigError as error:
        if not start.login:
            raise
        sys.stderr.write(f"{error}\n")
        reason = "the dashboard's config cannot be read; whoever runs the dashboard finds why where it was started"
        raise NotAdmittedError(reason) from None
    if start.login and access.login is None:
        raise NotAdmittedError("dashboard.login has left the config: to open the dashboard to everybody, start it anew")
    return access


def _claims() -> dict[str, Any]:
    return {str(key): value for key, value in st.user.to_dict().items()}


def _name(claims: dict[str, Any]) -> str:
    return str(claims.get("email") or claims.get("name") or claims.get("sub") or "you")


def _listable(claims: dict[str, Any]) -> str:
    """What somebody can be listed under; an address that the provider has not verified is worth nothing."""
    verified = claims.get("email_verified") in (True, "true")
    return "you" if verified else f"your subject {claims.get('sub')}, since the provider has verified no address of yours"


def _draw_door(reason: NotAdmittedError) -> None:
    st.header("meshslo")
    sentence = str(reason)
    st.info(f"{sentence[:1].upper()}{sentence[1:]}.", icon=":material/lock:")
    if reason.provider is not None:
        if st.button("Log in", icon=":material/login:"):
            _log_in(reason.provider)
        st.html(_REMEMBER, unsafe_allow_javascript=True)
    if _claims().get("is_logged_in"):
        st.button("Log out", icon=":material/logout:", on_click=st.logout)


def _log_in(provider: str) -> None:
    try:
        st.login(provider)
    except StreamlitAuthError as error:
        sys.stderr.write(f"{error}\n")
        st.error("Nobody can log in: the dashboard was started without the provider's secrets. Start it anew.")
