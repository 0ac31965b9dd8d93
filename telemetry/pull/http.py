"""The one HTTP client of all pullers: credentials, back-off on 429 and 5xx, a bound on what is read, clear failures.

Built on urllib3, whose `Retry` honours `Retry-After`. Each way a server can fail has one sentence.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError
from urllib3.util import make_headers

from meshslo.telemetry.errors import BadConfigError, SourceError

JSON: Final = "application/json"
PROTOBUF: Final = "application/protobuf"
RETRIED: Final = (429, 500, 502, 503, 504)
"""Statuses after which the same question may be answered a moment later."""
CONNECTIONS: Final = 8
"""Questions that may be under way at a time."""

Params = Mapping[str, str | int | Sequence[str]]


@dataclass(frozen=True)
class Access:
    """How a server lets us in; none of it is ever printed or stored."""

    headers: Mapping[str, str] = field(default_factory=dict)
    bearer: str | None = None
    basic: str | None = None
    """`user:password`."""
    ca_file: Path | None = None
    org_id: str | None = None
    """`X-Scope-OrgID` of a multi-tenant Tempo, Mimir or Thanos; no tenant of the services' own."""

    def as_headers(self) -> dict[str, str]:
        """The request headers that carry it."""
        headers = {**self.headers}
        if self.basic is not None:
            headers |= make_headers(basic_auth=self.basic)
        if self.bearer is not None:
            headers["Authorization"] = f"Bearer {self.bearer.strip()}"
        if self.org_id is not None:
            headers["X-Scope-OrgID"] = self.org_id
        return headers


@dataclass(frozen=True)
class Limits:
    """How long to wait, how often to ask again, and how much to read."""

    timeout_s: float = 30.0
    tries: int = 5
    backoff_s: float = 0.5
    """Waits before the second try and doubles from there, unless the server says `Retry-After`."""
    longest_wait_s: float = 60.0
    max_bytes: int = 512 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """What a server said, read to its end."""

    url: str
    status: int
    content_type: str
    body: bytes

    @property
    def is_page(self) -> bool:
        """Whether this is a page for a browser: a user interface's, a proxy's or a login's."""
        return "html" in self.content_type or self.body.lstrip()[:1] == b"<"

    def json(self) -> Any:
        """The body as JSON; SourceError when it is a page, cut short or something else."""
        if self.is_page:
            raise SourceError(
                f"{self.url} answered with a web page where JSON was expected; give the API's address, not that of a user "
                "interface or a login page"
            )
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise SourceError(f"{self.url} answered with {len(self.body)} bytes that are no complete JSON ({error})") from error


class Server:
    """A base URL and the credentials for it; one connection pool, safe to keep for a whole pull."""

    def __init__(self, url: str, access: Access | None = None, limits: Limits | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadConfigError(f"{url!r} is no address of a server; give one such as http://localhost:16686")
        access = access or Access()
        if parts.username is not None and access.basic is None:
            access = Access(
                access.headers, access.bearer, f"{parts.username}:{parts.password or ''}", access.ca_file, access.org_id
            )
        self.url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        """The address without credentials, as it may be printed."""
        self.org_id = access.org_id
        self.limits = limits or Limits()
        headers = access.as_headers()
        ca_file = None if access.ca_file is None else str(access.ca_file)
        if ca_file is not None and not Path(ca_file).is_file():
            raise BadConfigError(f"no file {ca_file}; give the certificate of the authority in PEM")
        self._pool = urllib3.PoolManager(
            headers={"User-Agent": "meshslo", "Accept-Encoding": _encoding(parts.hostname), **headers},
            timeout=self.limits.timeout_s,
            retries=_retry(self.limits, headers),
            ca_certs=ca_file,
            maxsize=CONNECTIONS,
        )

    def get(self, path: str, params: Params | None = None, *, accept: str = JSON, expect: Sequence[int] = (200,)) -> Answer:
        """The answer to GET `path`, of one of the statuses `expect`; SourceError in one sentence for everything else."""
        url = f"{self.url}{path}"
        question = f"{url}?{urlencode(params, doseq=True)}" if params else url
        try:
            answer = self._read(url, question, accept)
        except MaxRetryError as error:
            raise SourceError(_reason(url, error.reason or error, self.limits)) from error
        except HTTPError as error:
            raise SourceError(_reason(url, error, self.limits)) from error
        if answer.status not in expect:
            raise self.refusal(answer)
        return answer

    def refusal(self, answer: Answer) -> SourceError:
        """The error to raise for an answer of a status that nobody can use."""
        return SourceError(_refusal(answer, self.limits))

    def json(self, path: str, params: Params | None = None) -> Any:
        """The JSON that GET `path` answers with; SourceError as `get` and `Answer.json` raise it."""
        return self.get(path, params).json()

    def _read(self, url: str, question: str, accept: str) -> Answer:
        with self._pool.request(
            "GET", question, headers={**self._pool.headers, "Accept": accept}, preload_content=False
        ) as got:
            body = got.read(self.limits.max_bytes + 1)
            if len(body) > self.limits.max_bytes:
                raise SourceError(f"{url} answered with more than {self.limits.max_bytes} bytes; ask for a shorter window")
            return Answer(url, got.status, got.headers.get("content-type", ""), body)


def _encoding(host: str) -> str:
    """Bodies compressed tenfold over a network; as they are from this machine, where compressing takes longer than copying."""
    return "identity" if host in ("localhost", "::1") or host.startswith("127.") else "gzip"


def _retry(limits: Limits, headers: Mapping[str, str]) -> urllib3.Retry:
    """Tries again what may pass; a redirect to another host takes no credentials along, however they are spelt."""
    return urllib3.Retry(
        total=limits.tries - 1,
        connect=min(1, limits.tries - 1),  # nothing listens: waiting long would only delay the message
        backoff_factor=limits.backoff_s,
        backoff_max=limits.longest_wait_s,
        retry_after_max=int(limits.longest_wait_s),
        status_forcelist=RETRIED,
        raise_on_status=False,  # the last answer's own words make the better message
        remove_headers_on_redirect=[*headers, "Authorization", "Cookie"],
    )


def _reason(url: str, error: Exception, limits: Limits) -> str:
    """One sentence for an exchange that broke."""
    if isinstance(error, SSLError):
        return f"{url}: no trusted TLS connection ({error}); give the authority's certificate with --ca-file"
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return f"{url}: no such host; check the address"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return f"{url}: connection refused or unreachable; is the server running, and is the address right?"
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError | urllib3.exceptions.ReadTimeoutError):
        return f"{url} did not answer within {limits.timeout_s:g} s; ask for a shorter window or wait longer with --timeout"
    if isinstance(error, urllib3.exceptions.ResponseError):
        return f"{url} redirects without end; give the API's address, not that of a login page"
    if isinstance(error, urllib3.exceptions.DecodeError):
        return f"{url} answered with a compressed body that cannot be opened ({error})"
    return f"{url} closed the connection before its answer was complete ({error})"


def _refusal(answer: Answer, limits: Limits) -> str:
    """One sentence for an answer of the wrong status, with the server's own words where they are short text."""
    said = f"{answer.url} answered {answer.status}{_words(answer)}"
    if answer.status in (401, 403):
        return f"{said}; pass credentials with --bearer-file, --basic-file or --header"
    if answer.status == 404:
        return f"{said}; is this the API's base address?"
    if answer.status == 429:
        return f"{said} {limits.tries} times; ask again later, or for a shorter window"
    if answer.status in RETRIED:
        return f"{said} {limits.tries} times; ask again later, or look at the server"
    return said


def _words(answer: Answer) -> str:
    """The start of a textual body on one line, in brackets; nothing for a page or bytes."""
    if "html" in answer.content_type or not answer.body:
        return ""
    text = " ".join(answer.body[:300].decode("utf-8", "replace").split())
    return f" ({text})" if text.isprintable() else ""
