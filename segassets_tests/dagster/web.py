"""Dagster's webserver over the project's definitions, in this process, and what a browser asks of it."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import httpx
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.testclient import TestClient

from segassets_tests.dagster.platform import Platform

# Without a daemon nobody would take a run from the queue.
NO_QUEUE = """\
telemetry: {enabled: false}
nux: {enabled: false}
run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}
"""

Ask = Callable[..., Any]


@contextlib.contextmanager
def webserver(platform: Platform) -> Iterator[tuple[WorkspaceProcessContext, Ask]]:
    """The process context, and `ask(query, **variables)`."""
    (platform.home / "dagster.yaml").write_text(NO_QUEUE)
    target = ModuleTarget("segassets.definitions", None, None, "segassets")
    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, target, version="test", read_only=False) as context,
        TestClient(create_app_from_workspace_process_context(context)) as client,
    ):
        yield context, lambda query, **variables: answered(client.post, query, variables)


@contextlib.contextmanager
def real_ui() -> Iterator[httpx.Client]:
    """`segassets ui` as a process of its own, with its daemon; it has to end well."""
    code = "import sys; from segassets.cli import console; sys.argv[1:] = ['ui', '--port', '0']; console()"
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    ui = subprocess.Popen([sys.executable, "-c", code], **told)
    try:
        address = next(found[0] for line in ui.stdout if (found := re.findall(r"http://127\.0\.0\.1:\d+", line)))
        with httpx.Client(base_url=address, timeout=60) as client:
            yield client
    finally:
        ui.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            ui.communicate(timeout=30)
        ui.kill()
    assert ui.returncode == 0


def answered(post: Callable, query: str, variables: dict, path: str = "/graphql") -> Any:
    answer = post(path, json={"query": query, "variables": variables}).json()
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


LAUNCH = """mutation($assets: [AssetKeyInput!]!, $tags: [ExecutionTag!]!, $config: RunConfigData) {
    launchRun(executionParams: {
        selector: {repositoryLocationName: "segassets", repositoryName: "__repository__", jobName: "__ASSET_JOB",
                   assetSelection: $assets},
        executionMetadata: {tags: $tags}, runConfigData: $config}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUN = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"


def launch(ask: Ask, *assets: str, partition: str, config: dict | None = None) -> str:
    """Launch a run as the dialog does; its id."""
    keys = [{"path": asset.split("/")} for asset in assets]
    tags = [{"key": "dagster/partition", "value": partition}]
    found = ask(LAUNCH, assets=keys, tags=tags, config=config or {})["launchRun"]
    assert found["__typename"] == "LaunchRunSuccess", found
    return found["run"]["runId"]


def finished(ask: Ask, run: str, seconds: float = 90) -> str:
    """The final status of a run."""
    deadline = time.monotonic() + seconds
    while True:
        status = ask(RUN, run=run)["runOrError"]["status"]
        if status in ("SUCCESS", "FAILURE", "CANCELED"):
            return status
        assert time.monotonic() < deadline, f"the run is still {status}"
        time.sleep(0.2)


ASSETS = "{ assetNodes { assetKey { path } groupName isPartitioned description } }"
ASSET = """query($path: [String!]!, $partitions: [String!]) { assetNodeOrError(assetKey: {path: $path}) {
    ... on AssetNode {
        partitionKeys
        partitionStats { numMaterialized numFailed numPartitions }
        assetMaterializations(partitions: $partitions, limit: 1) { partition tags { key value } metadataEntries {
            label __typename
            ... on MarkdownMetadataEntry { mdStr } ... on IntMetadataEntry { intValue }
            ... on TextMetadataEntry { text } ... on BoolMetadataEntry { boolValue }
            ... on TableMetadataEntry { table { records } } } } } } }"""
CHECK = """query($path: [String!]!, $name: String!, $partition: String) {
    assetCheckExecutions(assetKey: {path: $path}, checkName: $name, limit: 5, partition: $partition) {
        status evaluation { success severity
            metadataEntries { label ... on TableMetadataEntry { table { records } } } } } }"""


def asset(ask: Ask, key: str, *partitions: str) -> dict:
    return ask(ASSET, path=key.split("/"), partitions=list(partitions) or None)["assetNodeOrError"]


def metadata(ask: Ask, key: str, partition: str) -> dict[str, Any]:
    """The metadata of a partition's latest materialization, by label."""
    (made,) = asset(ask, key, partition)["assetMaterializations"]
    return {entry["label"]: entry for entry in made["metadataEntries"]}
