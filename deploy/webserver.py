"""Dagster's webserver behind the guard, on 127.0.0.1 and without a daemon: for containers, beside a proxy with a login.

`segassets ui` is the same with a daemon of its own, for one machine. The proxy is in the same network namespace (a pod,
or Compose's `network_mode: service:proxy`), answers for who may come in, and passes requests on under the name
127.0.0.1:PORT, with an Origin of that name when it has found the visitor's to be its own.
"""

import argparse

import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__

from segassets.ui.guard import Guard


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", required=True, help="where the code locations are")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--read-only", action="store_true", help="for viewers: nothing can be started or changed")
    chosen = parser.parse_args()
    with DagsterInstance.get() as instance:
        # A statement's limit in ms, a connection's age in s, connections beyond the pool: as Dagster's own command.
        instance.optimize_for_webserver(15_000, 3600, 20)
        target = WorkspaceFileTarget([chosen.workspace])
        with WorkspaceProcessContext(
            instance, version=__version__, read_only=chosen.read_only, workspace_load_target=target
        ) as context:
            app = Guard(create_app_from_workspace_process_context(context), chosen.port)
            uvicorn.run(
                app, host="127.0.0.1", port=chosen.port, log_level="warning", proxy_headers=False, server_header=False
            )


if __name__ == "__main__":
    main()
