"""The guard: what a foreign page can make a browser send is refused, what the UI sends is let through."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import dagster as dg
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from segassets.ui.guard import WEBSOCKET_REFUSED, Guard, public_names

PORT = 3999
HOST = f"127.0.0.1:{PORT}"
ORIGIN = f"http://{HOST}"
EVIL = "http://evil.example"
JSON = ("content-type", "application/json")
MUTATION = "mutation { reloadWorkspace { __typename } }"


class App:
    """An application that records that it was called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def __call__(self, scope, receive, send) -> None:
        self.calls.append(scope.get("path", scope["type"]))
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
        elif scope["type"] == "http":
            headers = [(b"x-frame-options", b"ALLOWALL"), (b"x-own", b"kept")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"answer"})


class Answer:
    """What came back from the guard, and whether the application was reached."""

    def __init__(self, messages: list[dict[str, Any]], calls: list[str]) -> None:
        self.messages = messages
        self.reached = bool(calls)
        start = messages[0] if messages else {}
        self.status = start.get("status")
        self.headers = {name.decode(): value.decode() for name, value in start.get("headers", [])}
        self.text = b"".join(message.get("body", b"") for message in messages).decode()


def ask(
    *headers: tuple[str, str],
    method: str = "GET",
    path: str = "/",
    query: str = "",
    host: str | None = HOST,
    kind: str = "http",
    extensions: dict[str, Any] | None = None,
    body: bytes = b'{"query": "{ version }"}',
    read_only: bool = False,
    app: App | None = None,
) -> Answer:
    """One request, written as the server hands it on, since clients tidy up what an attacker would not."""
    app = app or App()
    messages: list[dict[str, Any]] = []
    pairs = ([("host", host)] if host is not None else []) + list(headers)
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
        "extensions": extensions,
    }

    async def receive():
        return {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": body}

    async def send(message):
        messages.append(message)

    asyncio.run(Guard(app, PORT, read_only=read_only)(scope, receive, send))
    return Answer(messages, app.calls)


# Where a request comes from


@pytest.mark.parametrize("host", [HOST, f"localhost:{PORT}", f"[::1]:{PORT}", f"LocalHost:{PORT}"])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_own_names_pass(host, kind):
    assert ask(host=host, kind=kind).reached
    assert ask(("origin", f"http://{host}"), host=host, kind=kind).reached


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1",
        "localhost",
        "127.0.0.1:80",
        f"127.0.0.1:{PORT}0",
        f"localhost.:{PORT}",
        f"127.0.0.1.:{PORT}",
        f"user@127.0.0.1:{PORT}",
        f"127.0.0.1:{PORT}@evil.example",
        f"127.0.0.1:{PORT}.evil.example",
        f"localhost.evil.example:{PORT}",
        f"127.0.0.1:{PORT}, evil.example",
        f"0.0.0.0:{PORT}",
        f"127.1:{PORT}",
        f"2130706433:{PORT}",
        f"[::ffff:127.0.0.1]:{PORT}",
        f"http://127.0.0.1:{PORT}",
        f"127.0.0.1:{PORT}/",
        f"127.0.0.1 :{PORT}",
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_foreign_host_is_refused(host, kind):
    answer = ask(host=host, kind=kind, extensions={"websocket.http.response": {}})
    assert not answer.reached
    assert answer.status == 403
    assert "Host" in answer.text and f"http://127.0.0.1:{PORT}" in answer.text


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("second", ["evil.example", HOST])
def test_two_hosts_are_refused(kind, second):
    assert not ask(("host", second), kind=kind).reached
    assert not ask(("Host", HOST), host=second, kind=kind).reached


@pytest.mark.parametrize(
    "origin",
    [
        EVIL,
        "null",
        "",
        f"https://{HOST}",
        HOST,
        "http://127.0.0.1",
        "http://localhost:8888",
        f"{ORIGIN}/",
        f"{ORIGIN}.evil.example",
        f"http://evil.example@{HOST}",
        f"{ORIGIN} {EVIL}",
        f"{ORIGIN}, {ORIGIN}",
        "file://",
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_foreign_origin_is_refused(origin, kind):
    for method in ("GET", "POST", "OPTIONS"):
        answer = ask(("origin", origin), JSON, kind=kind, method=method)
        assert not answer.reached


def test_two_origins_are_refused():
    for first, second in ((ORIGIN, EVIL), (EVIL, ORIGIN), (ORIGIN, ORIGIN)):
        for kind in ("http", "websocket"):
            assert not ask(("origin", first), ("Origin", second), JSON, method="POST", kind=kind).reached


@pytest.mark.parametrize(
    ("site", "mode", "passes"),
    [
        ("same-origin", "cors", True),
        ("same-origin", "websocket", True),
        ("none", "navigate", True),
        ("cross-site", "navigate", False),
        ("cross-site", "no-cors", False),
        ("Cross-Site", "cors", False),
        ("same-site", "navigate", True),
        ("same-site", "no-cors", False),
        ("something-new", "navigate", False),
    ],
)
def test_fetch_metadata(site, mode, passes):
    assert ask(("sec-fetch-site", site), ("sec-fetch-mode", mode)).reached is passes
    twice = ask(("sec-fetch-site", "same-origin"), ("sec-fetch-site", site), ("sec-fetch-mode", mode))
    assert twice.reached is (passes and site != "same-site")


PUBLIC = "https://data.example.org"


def behind_proxy(*urls: str) -> TestClient:
    return TestClient(Guard(App(), PORT, urls or [PUBLIC]), base_url="http://data.example.org")


def test_the_public_address_is_let_in_from_its_own_pages():
    client = behind_proxy()
    assert client.get("/").status_code == 200
    assert client.get("/", headers={"Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert client.get("/", headers={"Host": "data.example.org:443"}).status_code == 200
    assert client.get("/", headers={"Host": HOST, "Origin": ORIGIN}).status_code == 200, "a program on the server"
    with client.websocket_connect("ws://data.example.org/graphql", headers={"Origin": PUBLIC}):
        pass


@pytest.mark.parametrize(
    "origin",
    [EVIL, "http://data.example.org", "https://data.example.org:444", "https://data.example.org.evil.example", "null",
     ORIGIN, "https://evil.example/https://data.example.org", "https://DATA.example.org@evil.example", ""],
)  # fmt: skip
def test_the_public_address_is_not_called_from_elsewhere(origin):
    """Nor from a page of the visitor's own machine, whose loopback address is not the server's."""
    client = behind_proxy()
    for ask in (client.get, client.post):
        assert ask("/graphql", headers={"Origin": origin}).status_code == 403
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("ws://data.example.org/graphql", headers={"Origin": origin}),
    ):
        pass


@pytest.mark.parametrize("host", ["evil.example", "data.example.org:80", "data.example.org.", "xdata.example.org"])
def test_a_public_address_opens_no_other_name(host):
    assert behind_proxy().get("/", headers={"Host": host}).status_code == 403


def test_a_loopback_page_of_the_server_is_not_called_from_the_public_address():
    assert behind_proxy().get("/", headers={"Host": HOST, "Origin": PUBLIC}).status_code == 403


def test_several_public_addresses_do_not_speak_for_each_other():
    client = behind_proxy(PUBLIC, "http://lab:8080")
    assert client.get("/", headers={"Host": "lab:8080", "Origin": "http://lab:8080"}).status_code == 200
    assert client.get("/", headers={"Host": "lab:8080", "Origin": PUBLIC}).status_code == 403


@pytest.mark.parametrize(
    "url",
    ["", "data.example.org", "ftp://x", "https://", "https://a/path", "https://a?b", "https://u:p@a", "https://a:b",
     "https://*", "https://*.example.org", "https://a b", "https://a,b", "https://a#b"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError):
        public_names(url)


@pytest.mark.parametrize(
    ("url", "hosts", "origin"),
    [
        ("https://Data.Example.org/", {"data.example.org", "data.example.org:443"}, "https://data.example.org"),
        ("http://127.0.0.1:8080", {"127.0.0.1:8080"}, "http://127.0.0.1:8080"),
        ("https://[::1]:8443", {"[::1]:8443"}, "https://[::1]:8443"),
        ("https://lab:443", {"lab", "lab:443"}, "https://lab"),
    ],
)
def test_what_browsers_send_for_an_address(url, hosts, origin):
    assert public_names(url) == (frozenset(hosts), origin)


def test_default_port_is_left_out_by_browsers():
    client = TestClient(Guard(App(), 80), base_url="http://localhost")
    assert client.get("/", headers={"Origin": "http://localhost"}).status_code == 200


# What a request may do


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "FOO", "put"])
def test_other_methods_are_refused(method):
    answer = ask(JSON, method=method)
    assert (answer.reached, answer.status) == (False, 405)
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_passes(method):
    assert ask(method=method, path="/assets/sa1b/masks", query="view=partitions").reached


@pytest.mark.parametrize(
    "value",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", "application/json;charset=UTF-8"],
)
def test_json_post_passes(value):
    assert ask(("content-type", value), ("origin", ORIGIN), method="POST", path="/graphql").reached


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["text/plain"],
        ["application/x-www-form-urlencoded"],
        ["multipart/form-data; boundary=x"],
        ["application/graphql"],
        ["text/plain; application/json"],
        ["text/plain, application/json"],
        ["application/json, text/plain"],
        ["application/json; application/graphql"],
        ["application/jsonp"],
        ["application/json+evil"],
        ["application/json", "text/plain"],
        ["text/plain", "application/json"],
    ],
)
@pytest.mark.parametrize("path", ["/graphql", "/report_asset_materialization/a", "/report_asset_check/a", "/anything"])
def test_other_posts_are_refused(values, path):
    headers = [("content-type", value) for value in values]
    answer = ask(*headers, method="POST", path=path, query=urlencode({"query": MUTATION}))
    assert (answer.reached, answer.status) == (False, 415)
    assert "application/json" in answer.text


GRAPHQL_PATHS = [
    "/graphql",
    "/graphql/",
    "//graphql",
    "/graphql//",
    "/GraphQL",
    "/%67raphql",
    "/%2567raphql",
    "/prefix/graphql",
    "/./graphql",
    "/x/../graphql",
    "/graphql%2f",
    "/graphql;x=1",
    "/%25252525252525graphq",
]


@pytest.mark.parametrize("path", GRAPHQL_PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_mutation_in_the_address_is_refused(path, method):
    answer = ask(method=method, path=path, query=urlencode({"query": MUTATION}))
    assert (answer.reached, answer.status) == (False, 403)
    assert "POST" in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "mutation M { a }",
        "mutation{a}",
        "# query\nmutation { a }",
        "\ufeffmutation { a }",
        ",,mutation { a }",
        "subscription { a }",
        "query Q { a } mutation M { a }",
        "fragment F on T { a } mutation M { ...F }",
        "query",
        "",
        "{",
        "type T { a: Int }",
        "{ a }" * 5000,
        "{a" * 4000 + "}" * 4000,
    ],
)
def test_only_valid_queries_in_the_address(query):
    assert not ask(path="/graphql", query=urlencode({"query": query})).reached


@pytest.mark.parametrize(
    "query",
    [
        urlencode([("query", "{ a }"), ("query", MUTATION)]),
        urlencode([("query", MUTATION), ("query", "{ a }")]),
        "%71uery=" + quote(MUTATION),
        "query=" + quote(MUTATION) + "&operationName=M",
        "a=b&query=" + quote(MUTATION).replace("%20", "+"),
        "query",
    ],
)
def test_hidden_mutations_are_refused(query):
    assert not ask(path="/graphql", query=query).reached


@pytest.mark.parametrize("query", ["{ version }", "query Q { version }", "query Q { ...F } fragment F on T { a }"])
def test_queries_in_the_address_pass(query):
    assert ask(path="/graphql", query=urlencode({"query": query})).reached
    assert ask(path="/graphql").reached
    assert ask(path="/assets", query=urlencode({"query": MUTATION})).reached, "only the GraphQL endpoint executes it"


def test_every_answer_has_the_security_headers():
    for answer in (ask(), ask(host="evil.example"), ask(method="PUT"), ask(method="POST")):
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers
    assert ask().headers["x-own"] == "kept"
    assert len([name for name, _ in ask().messages[0]["headers"] if name == b"x-frame-options"]) == 1


# The websocket and the rest of ASGI


def test_websocket_is_refused_before_it_is_accepted():
    closed = ask(("origin", EVIL), kind="websocket")
    assert [message["type"] for message in closed.messages] == ["websocket.close"]
    assert closed.messages[0]["code"] == WEBSOCKET_REFUSED
    denied = ask(("origin", EVIL), kind="websocket", extensions={"websocket.http.response": {}})
    assert denied.status == 403 and EVIL in denied.text


def test_websocket_of_a_program_passes():
    assert ask(kind="websocket", path="/graphql").reached
    assert not ask(kind="websocket", path="/graphql", host="evil.example").reached


def test_websocket_through_a_client():
    async def echo(scope, receive, send):
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    client = TestClient(Guard(echo, PORT), base_url=ORIGIN)
    with client.websocket_connect(f"ws://{HOST}/graphql", headers={"Origin": ORIGIN}) as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "hello"
    for headers in ({"Origin": EVIL}, {"Host": "evil.example"}):
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect(f"ws://{HOST}/graphql", headers={"Host": HOST, **headers}),
        ):
            pass


def test_lifespan_passes_and_the_unknown_does_not():
    assert ask(kind="lifespan").reached
    with pytest.raises(ValueError, match="connection type"):
        ask(kind="telepathy")


# Dagster's own webserver behind it

DEFINITIONS = """
import dagster as dg

@dg.asset(partitions_def=dg.DynamicPartitionsDefinition(name="shards"))
def thing(): ...

defs = dg.Definitions(assets=[thing])
"""
ADD = """mutation { addDynamicPartition(
    repositorySelector: {repositoryLocationName: "segassets", repositoryName: "__repository__"},
    partitionsDefName: "shards", partitionKey: "%s") { __typename ... on UnauthorizedError { message } } }"""


class Webserver:
    """Dagster's application as the UI serves it, without a port."""

    def __init__(self, instance: dg.DagsterInstance, read_only: bool) -> None:
        from dagster_webserver.app import create_app_from_workspace_process_context

        from segassets.ui.daemon import Target
        from segassets.ui.serve import _webserver_context

        self.instance = instance
        self.context = _webserver_context(instance, read_only, Target("guarded_definitions", None))
        app = create_app_from_workspace_process_context(self.context)
        self.bare = TestClient(app, base_url=ORIGIN)
        self.guarded = TestClient(Guard(app, PORT), base_url=ORIGIN)

    def partitions(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions("shards"))

    def materializations(self) -> int:
        return len(self.instance.fetch_materializations(dg.AssetKey("thing"), limit=9).records)


@pytest.fixture(scope="module")
def webservers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Webserver, Webserver]]:
    folder: Path = tmp_path_factory.mktemp("webserver")
    (folder / "guarded_definitions.py").write_text(DEFINITIONS)
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.from_config(str(folder)) as instance:
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("DAGSTER_HOME", str(folder))
        servers = (Webserver(instance, read_only=False), Webserver(instance, read_only=True))
        yield servers
        for server in servers:
            server.context.__exit__(None, None, None)
            server.context._grpc_server_registry.wait_for_processes()
    sys.modules.pop("guarded_definitions", None)


def test_dagsters_webserver_behind_the_guard(webservers):
    server, _ = webservers
    foreign = {"Origin": EVIL, "Host": "evil.example"}

    # The control: without the guard these attacks succeed, so that the test would notice a change of their form.
    bare = server.bare.get("/graphql", params={"query": ADD % "get"}, headers=foreign)
    assert bare.status_code == 200 and server.partitions() == ["get"]
    bare = server.bare.post(
        "/graphql", params={"query": ADD % "text"}, headers=foreign | {"Content-Type": "text/plain"}
    )
    assert bare.status_code == 200 and server.partitions() == ["get", "text"]
    assert server.bare.post("/report_asset_materialization/thing", headers=foreign).status_code == 200
    made = server.materializations()
    assert made == 1

    guarded = server.guarded
    for path in ("/graphql", "/graphql/", "/x//graphql", "/%67raphql"):
        for headers in ({}, {"Origin": EVIL}, foreign):
            assert guarded.get(path, params={"query": ADD % "bad"}, headers=headers).status_code == 403
    assert guarded.post("/graphql", params={"query": ADD % "bad"}).status_code == 415
    plain = {"Content-Type": "text/plain"}
    assert guarded.post("/graphql", params={"query": ADD % "bad"}, headers=plain).status_code == 415
    assert guarded.post("/graphql", json={"query": ADD % "bad"}, headers={"Origin": EVIL}).status_code == 403
    for name in ("materialization", "check", "observation"):
        assert guarded.post(f"/report_asset_{name}/thing").status_code == 415
        assert guarded.post(f"/report_asset_{name}/thing", json={}, headers=foreign).status_code == 403
    assert server.partitions() == ["get", "text"]
    assert server.materializations() == made

    own = {"Origin": ORIGIN}
    answer = guarded.post("/graphql", json={"query": "{ version }"}, headers=own)
    assert answer.json()["data"]["version"] == dg.__version__
    assert guarded.post("/graphql", json={"query": ADD % "good"}, headers=own).status_code == 200
    assert "good" in server.partitions()
    assert guarded.get("/graphql", params={"query": "{ version }"}).status_code == 200
    page = guarded.get("/assets", headers={"Accept": "text/html"})
    assert page.status_code == 200 and page.headers["x-frame-options"] == "DENY"
    with guarded.websocket_connect(f"ws://{HOST}/graphql", headers={"Host": HOST, "Origin": ORIGIN}) as socket:
        socket.send_json({"type": "connection_init"})
        assert socket.receive_json()["type"] == "connection_ack"
    with (
        pytest.raises(WebSocketDisconnect),
        guarded.websocket_connect(f"ws://{HOST}/graphql", headers={"Host": HOST, "Origin": EVIL}),
    ):
        pass


def test_read_only_webserver_changes_nothing(webservers):
    _, server = webservers
    before = (server.partitions(), server.materializations())
    answer = server.guarded.post("/graphql", json={"query": ADD % "locked"}, headers={"Origin": ORIGIN})
    assert answer.json()["data"]["addDynamicPartition"]["__typename"] == "UnauthorizedError"
    assert server.guarded.post("/report_asset_materialization/thing", json={}).status_code in (401, 403)
    assert server.guarded.post("/graphql", json={"query": "{ version }"}).status_code == 200
    assert (server.partitions(), server.materializations()) == before


# What a body may be


@pytest.mark.parametrize("body", [b"", b"[]", b"3", b"{}", b'{"query": 3}', b"\xff", b"[" * 100_000, b'{"query": '])
def test_a_body_that_is_no_graphql_request_is_refused_before_it_reaches_the_application(body):
    answer = ask(JSON, method="POST", path="/graphql", body=body)
    assert (answer.status, answer.reached) == (400, False)


def test_a_body_without_end_is_refused(monkeypatch):
    monkeypatch.setattr("segassets.ui.guard.MAX_BODY", 100)
    answer = ask(JSON, method="POST", path="/graphql", body=b'{"query": "' + b"x" * 100 + b'"}')
    assert (answer.status, answer.reached) == (413, False)


def test_the_application_gets_the_body_as_it_came():
    class Reader(App):
        async def __call__(self, scope, receive, send) -> None:
            self.got = await receive()
            await super().__call__(scope, receive, send)

    app = Reader()
    body = json.dumps({"query": MUTATION}).encode()
    assert ask(JSON, method="POST", path="/graphql", body=body, app=app).reached
    assert app.got == {"type": "http.request", "body": body, "more_body": False}


def test_a_read_only_ui_answers_queries_and_nothing_else():
    for text, reached in (("{ version }", True), (MUTATION, False), ("subscription { x }", False), ("{", False)):
        body = json.dumps({"query": text}).encode()
        answer = ask(JSON, method="POST", path="/graphql", body=body, read_only=True)
        assert answer.reached is reached
        assert reached or answer.status == 403


@pytest.mark.parametrize("answers", [False, True])
def test_a_fault_of_the_application_is_one_line_and_an_answer(caplog, answers):
    class Broken(App):
        async def __call__(self, scope, receive, send) -> None:
            if answers:  # as Starlette does, before it raises
                await send({"type": "http.response.start", "status": 500, "headers": []})
                await send({"type": "http.response.body", "body": b"the server goes on"})
            raise AttributeError("no such run")

    answer = ask(path="/logs/x", app=Broken())
    assert answer.status == 500 and "the server goes on" in answer.text
    assert [record.exc_info for record in caplog.records] == [None]
    assert "/logs/x: AttributeError: no such run" in caplog.text
