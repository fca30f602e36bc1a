"""A Ray cluster of two nodes on this machine, each with processes of its own and one core, on loopback only.

Run as a program it holds the nodes, so that nothing of them is in the process that tests: it takes a command a line
(`kill`, `add`), answers each with the nodes that are left, and ends them all when its input ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

NODE = {
    "num_cpus": 1,
    "num_gpus": 0,
    "object_store_memory": 80_000_000,
    "memory": 1_000_000_000,
    "include_log_monitor": False,
}


def environment() -> dict[str, str]:
    """Ray on 127.0.0.1 (else it takes the machine's address), closed by a token, and telling nobody."""
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


class Nodes:
    """The running cluster, as a test sees it."""

    def __init__(self) -> None:
        self.environment = environment()
        command = [sys.executable, "-m", "segassets_tests.work.ray_nodes"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        here = Path(__file__).parents[2]
        self._process = subprocess.Popen(command, text=True, env={**os.environ, **self.environment}, cwd=here, **pipes)
        self.address = self._answer()["address"]
        self.environment["RAY_ADDRESS"] = self.address

    def _answer(self) -> dict:
        for line in iter(self._process.stdout.readline, ""):
            if line.startswith("{"):
                return json.loads(line)
        raise AssertionError("the cluster did not start")

    def _say(self, command: str) -> int:
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._answer()["nodes"]

    def kill(self) -> None:
        """The second node, as a power cut would."""
        assert self._say("kill") == 1

    def add(self) -> None:
        """A second node, if there is none."""
        assert self._say("add") == 2

    def processes(self) -> list[tuple[int, bytes]]:
        """Every process of the cluster, with its title."""
        children: dict[int, list[int]] = defaultdict(list)
        titles: dict[int, bytes] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children[parent].append(int(folder.name))
                titles[int(folder.name)] = (folder / "cmdline").read_bytes()
        found, pending = [], [self._process.pid]
        while pending:
            pending += (below := children[pending.pop()])
            found += [(pid, titles.get(pid, b"")) for pid in below]
        return found

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(60)


def _main() -> None:
    from ray.cluster_utils import Cluster

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory(prefix="sr", dir="/tmp", ignore_cleanup_errors=True) as folder:  # sockets: short
        Path("/tmp/ray").mkdir(
            exist_ok=True
        )  # where Ray notes the last cluster of this machine, whatever its own folder
        cluster = Cluster(
            initialize_head=True,
            shutdown_at_exit=True,
            head_node_args={**NODE, "include_dashboard": False, "temp_dir": folder},
        )
        node = cluster.add_node(**NODE)
        print(json.dumps({"address": cluster.address}), file=out, flush=True)
        for line in sys.stdin:
            if line.strip() == "kill":
                cluster.remove_node(node, allow_graceful=False)
                node = None
            elif node is None:
                node = cluster.add_node(**NODE)
            print(json.dumps({"nodes": 1 + (node is not None)}), file=out, flush=True)
        cluster.shutdown()


if __name__ == "__main__":
    _main()
