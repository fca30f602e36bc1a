"""What stands between a browser and Dagster's webserver.

Dagster's webserver has no login, executes GraphQL mutations that come as a GET or as plain text, and asks neither where
a request comes from nor by what name it was called. Listening on the loopback address alone does not help: any web
page that the user opens can make the browser send such requests (cross-site request forgery, DNS rebinding).
`Guard` is a plain ASGI middleware for every path and for the websocket upgrade; it knows nothing of Dagster but the
name of its GraphQL endpoint.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from graphql.language import FragmentDefinitionNode

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

READING = ("GET", "HEAD", "OPTIONS")
WEBSOCKET_REFUSED = 4403
DEFAULT_PORTS = {"http": 80, "https": 443}
HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")
# A query in an address is short; a parser should not be kept busy with more.
MAX_TOKENS = 10_000
MAX_BODY = 32 * 2**20

log = logging.getLogger("segassets.ui")

# Sent with every answer. Framing would let a foreign page borrow the user's clicks; the resource policy keeps foreign
# pages from embedding what a GET returns.
SECURITY_HEADERS: dict[bytes, bytes] = {
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"cross-origin-resource-policy": b"same-origin",
}


class Refusal(NamedTuple):
    """Why a request is refused, and what to do instead."""

    status: int
    text: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


def loopback_hosts(port: int) -> frozenset[str]:
    """The names under which a browser on this machine calls a server on `port`."""
    names = ("127.0.0.1", "localhost", "[::1]")
    hosts = {f"{name}:{port}" for name in names}
    # Browsers leave out the default port.
    return frozenset(hosts | set(names) if port == 80 else hosts)


def public_names(url: str) -> tuple[frozenset[str], str]:
    """The Host values and the Origin that a browser sends for a UI at `url`, behind a proxy that passes both on.

    ValueError for what is no `http(s)://name[:port]`.
    """
    found = urlsplit(url.strip().rstrip("/"))
    plain = found.scheme in DEFAULT_PORTS and not (found.path or found.query or found.fragment)
    name, port = (found.hostname or "").lower(), found.port  # ValueError for a port that is no number
    if not plain or "@" in found.netloc or not HOST_NAME.fullmatch(name):
        raise ValueError(f"{url!r} is no address of the form https://name or https://name:port")
    name = f"[{name}]" if ":" in name else name
    default = DEFAULT_PORTS[found.scheme]
    if port in (None, default):
        # Browsers leave out the default port.
        return frozenset({name, f"{name}:{default}"}), f"{found.scheme}://{name}"
    return frozenset({f"{name}:{port}"}), f"{found.scheme}://{name}:{port}"


class Guard:
    """ASGI middleware: lets through only what the UI itself, or a program on this machine, would send."""

    def __init__(self, app: App, port: int, public_urls: Iterable[str] = (), read_only: bool = False) -> None:
        """`public_urls`: where people reach the UI besides the loopback names, through a proxy that asks for a login.
        `read_only`: GraphQL may only ask, whatever the application itself would refuse.

        A page has to come from the name that it calls: one of another name of ours, on the visitor's own machine, is
        another site's.
        """
        self.app, self.read_only = app, read_only
        own = loopback_hosts(port)
        self.origins = dict.fromkeys(own, frozenset(f"http://{host}" for host in own))
        for hosts, origin in map(public_names, public_urls):
            for host in hosts:
                self.origins[host] = self.origins.get(host, frozenset()) | {origin}
        self.address = next(iter(public_urls), None) or f"http://127.0.0.1:{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with the reason why not."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            refusal = self._foreign(scope)
            if refusal is None:
                await self.app(scope, receive, send)
            else:
                await _refuse_websocket(refusal, scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, _with_security_headers(send))
        else:
            raise ValueError(f"Guard does not know the connection type {scope['type']!r}")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._foreign(scope) or _unsafe(scope)
        if refusal is None and scope["method"].upper() == "POST" and _is_graphql(scope["path"]):
            body = await _body(receive)
            refusal = _bad_document(body, self.read_only)
            receive = _again(body, receive)
        if refusal is not None:
            await _refuse_http(refusal, send)
            return
        begun = ended = False

        async def noted(message: Message) -> None:
            nonlocal begun, ended
            begun = True
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except Exception as problem:
            # Of requests that the UI does not make, such as /logs/x: no reason for a stack trace on somebody's terminal.
            log.error("%s %s: %s: %s", scope["method"], scope["path"], type(problem).__name__, problem)
            if begun and not ended:
                raise  # half an answer: the connection has to be cut
            if not begun:
                await _refuse_http(Refusal(500, "This request cannot be answered; the server goes on.\n"), send)

    def _foreign(self, scope: Scope) -> Refusal | None:
        """Is the request meant for another name, or sent by another site's page?"""
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or hosts[0].lower() not in self.origins:
            # A foreign name that leads here is DNS rebinding: to the browser this is then the foreign site itself.
            found = ", ".join(map(repr, hosts)) or "none"
            return _forbidden(
                f"Host is {found}, expected one of {', '.join(sorted(self.origins))}. Open "
                f"{self.address}; through an SSH tunnel use the same port at both ends, for a proxy --public-url."
            )
        origins = _values(scope, b"origin")
        if len(origins) > 1 or any(origin.lower() not in self.origins[hosts[0].lower()] for origin in origins):
            return _forbidden(
                f"the request comes from {', '.join(map(repr, origins))}, not from this UI's own pages. "
                f"Use the UI at {self.address}, or a client that sends no Origin."
            )
        return self._cross_site(scope)

    def _cross_site(self, scope: Scope) -> Refusal | None:
        """What the browser says about the page that made the request, where it says so.

        Another port of localhost is the same *site*: following a link from there is fine, fetching is not.
        """
        sites = {site.lower() for site in _values(scope, b"sec-fetch-site")}
        navigating = _values(scope, b"sec-fetch-mode") == ["navigate"]
        if sites <= {"same-origin", "none"} or (sites == {"same-site"} and navigating):
            return None
        return _forbidden(
            f"another site's page made this request (Sec-Fetch-Site: {', '.join(sorted(sites))}). "
            f"Type {self.address} into the address bar."
        )


def _forbidden(reason: str) -> Refusal:
    return Refusal(403, f"Refused: {reason}\n")


def _values(scope: Scope, name: bytes) -> list[str]:
    """Every value of a header, since a proxy, a browser and an application may each believe another one."""
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key.lower() == name]


def _unsafe(scope: Scope) -> Refusal | None:
    """Could the request change state without being a JSON POST?

    Only forms, images and plain-text requests can be sent by a foreign page unasked; JSON needs a preflight, which
    nothing here answers.
    """
    method = scope["method"].upper()
    if method == "POST":
        return None if _is_json(_values(scope, b"content-type")) else _not_json(_values(scope, b"content-type"))
    if method not in READING:
        allow = ", ".join((*READING, "POST"))
        text = f"Refused: {method} is not used here. State is changed by POST with application/json.\n"
        return Refusal(405, text, ((b"allow", allow.encode()),))
    if _is_graphql(scope["path"]) and not all(_is_pure_query(text) for text in _queries(scope)):
        return _forbidden(
            f"only a valid query may be sent by {method}. Send mutations by POST with application/json, "
            "subscriptions over the websocket."
        )
    return None


def _is_json(content_types: list[str]) -> bool:
    """Exactly one content type, JSON, with no parameter but the charset."""
    if len(content_types) != 1:
        return False
    media_type, *parameters = (part.strip().lower() for part in content_types[0].split(";"))
    return media_type == "application/json" and all(part.startswith("charset=") for part in parameters)


def _not_json(content_types: list[str]) -> Refusal:
    found = ", ".join(map(repr, content_types)) or "none"
    return Refusal(415, f"Refused: Content-Type is {found}, expected application/json, also without a body.\n")


def _is_graphql(path: str) -> bool:
    """Might this path reach the GraphQL endpoint, however it is written (`//graphql/`, `/%67raphql`, `/a/graphql`)?

    Broad on purpose: the only consequence is that a `query` in the address must then be a query.
    """
    for _ in range(5):
        decoded = unquote(path)
        if decoded == path:
            return "graphql" in path.lower()
        path = decoded
    return True


async def _body(receive: Receive) -> bytes | None:
    """The whole body of a request; None when it is too long for a question."""
    parts, size = [], 0
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            return None
        if message["type"] != "http.request" or not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes | None, receive: Receive) -> Receive:
    """`receive`, as if the body had not been read yet."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body or b"", "more_body": False}

    return receive_again


def _bad_document(body: bytes | None, read_only: bool) -> Refusal | None:
    """Is the body no GraphQL request at all, or one that would change something where only looking is allowed?"""
    if body is None:
        return Refusal(413, f"Refused: the request has more than {MAX_BODY >> 20} MiB.\n")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("query"), str):
        return Refusal(400, 'Refused: the body is no GraphQL request, a JSON object with the text "query".\n')
    if read_only and not _is_pure_query(document["query"]):
        return _forbidden("this UI is read-only: only valid queries are answered.")
    return None


def _queries(scope: Scope) -> list[str]:
    """All values of the parameter `query`: applications differ in which one of several they take."""
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return [value for name, value in pairs if name.strip().lower() == "query"]


def _is_pure_query(text: str) -> bool:
    """A document of queries and fragments only; what cannot be parsed is none."""
    try:
        definitions = parse(text, no_location=True, max_tokens=MAX_TOKENS).definitions
    except (GraphQLError, RecursionError):
        return False
    return all(
        isinstance(node, FragmentDefinitionNode)
        or (isinstance(node, OperationDefinitionNode) and node.operation is OperationType.QUERY)
        for node in definitions
    )


def _with_security_headers(send: Send) -> Send:
    """`send`, adding our headers to the start of the answer in place of the application's own."""

    async def send_secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in SECURITY_HEADERS]
            message = {**message, "headers": [*kept, *SECURITY_HEADERS.items()]}
        await send(message)

    return send_secured


def _plain(refusal: Refusal) -> tuple[Headers, bytes]:
    body = refusal.text.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *refusal.headers,
    ]
    return headers, body


async def _refuse_http(refusal: Refusal, send: Send) -> None:
    headers, body = _plain(refusal)
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse_websocket(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse before the upgrade is accepted, with the reason where the server can carry one."""
    await receive()
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        # Closed before it is accepted, a server answers with its own 403.
        await send({"type": "websocket.close", "code": WEBSOCKET_REFUSED, "reason": "foreign Host or Origin"})
        return
    headers, body = _plain(refusal)
    await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
