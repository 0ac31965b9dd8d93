"""An OpenID Connect provider on loopback: whoever comes is whom the test says, with no form to fill in."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.support.serving import serving

CLIENT = "meshslo-test"


@dataclass
class Provider:
    """Its address, the claims of whoever comes next, and its key."""

    url: str
    claims: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "test"}))
    nonces: dict[str, str] = field(default_factory=dict)

    def secrets(self, app_url: str) -> str:
        """The secrets.toml of an application at `app_url`."""
        return f"""
[auth]
redirect_uri = "{app_url}/oauth2callback"
cookie_secret = "{"s" * 40}"
client_id = "{CLIENT}"
client_secret = "not a secret"
server_metadata_url = "{self.url}/.well-known/openid-configuration"
"""

    def metadata(self) -> dict[str, Any]:
        """The discovery document."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def authorize(self, query: dict[str, str]) -> str:
        """Where to send the browser back to."""
        code = f"code-{len(self.nonces)}"
        self.nonces[code] = query["nonce"]
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: dict[str, str]) -> dict[str, Any]:
        """The answer that holds the signed identity token."""
        now = int(time.time())
        told = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 600, "nonce": self.nonces.pop(form["code"])}
        signed = jwt.encode({"alg": "RS256", "kid": "test"}, told | self.claims, self.key)
        return {"access_token": "none", "token_type": "Bearer", "expires_in": 600, "id_token": signed}


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider on a free loopback port until the block ends."""
    with serving(_Handler) as server:
        server.provider = Provider(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
        yield server.provider  # type: ignore[attr-defined]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        provider: Provider = self.server.provider  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        if parts.path == "/authorize":
            self.send_response(302)
            self.send_header("Location", provider.authorize(_flat(parts.query)))
            self.end_headers()
            return
        keys = {"keys": [provider.key.as_dict(private=False)]}
        self._answer({"/jwks": keys}.get(parts.path, provider.metadata()))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(self.server.provider.token(_flat(body)))  # type: ignore[attr-defined]

    def _answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _flat(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}
