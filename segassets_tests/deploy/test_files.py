"""The deployment files, as far as they can be tried without a cluster: Dagster, Kubernetes' schema, each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import dagster as dg
import pytest
import yaml

from segassets.cli import cli
from segassets_tests.deploy.templates import DEPLOY, install, template

KUBERNETES = sorted((DEPLOY / "kubernetes").rglob("*.yaml"))
OBJECTS = [
    (path.name, document) for path in KUBERNETES for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]
#: What looks like a secret's value: a key of some length, a bcrypt hash, a password in a URL.
SECRET = re.compile(r"AKIA[0-9A-Z]{12}|\$2[aby]\$\d|://[^/\s:]+:[^@\s]+@|BEGIN [A-Z ]*PRIVATE KEY")


def object_of(kind: str, name: str) -> dict:
    (found,) = [o for _, o in OBJECTS if o["kind"] == kind and o["metadata"]["name"] == name]
    return found


def containers() -> Iterator[tuple[str, dict, dict]]:
    for _, document in OBJECTS:
        if document["kind"] in ("Deployment", "StatefulSet"):
            pod = document["spec"]["template"]["spec"]
            for container in pod["containers"]:
                yield document["metadata"]["name"], pod, container


def kubernetes_instance() -> dict:
    return yaml.safe_load(object_of("ConfigMap", "segassets-instance")["data"]["dagster.yaml"])


def test_the_sqlite_template_is_an_instance(tmp_path):
    with dg.DagsterInstance.from_config(str(install(template("dagster.sqlite.yaml"), tmp_path))) as instance:
        assert instance.run_retries_enabled
        assert not instance.get_settings("run_retries")["retry_on_asset_or_op_failure"]
        assert instance.run_monitoring_enabled
        assert not instance.telemetry_enabled


@pytest.mark.parametrize("kind", ["plain", "docker", "kubernetes"])
def test_the_team_templates_are_instances(kind, tmp_path, monkeypatch):
    """All but the connection itself, which test_postgres has: every class is imported, every field checked."""
    pytest.importorskip("dagster_postgres", reason="no dagster-postgres (pip install 'segassets[team]')")
    pytest.importorskip("dagster_aws", reason="no dagster-aws (pip install 'segassets[team]')")
    config = {
        "plain": lambda: template("dagster.postgres.yaml"),
        "docker": lambda: template("docker/dagster.yaml"),
        "kubernetes": kubernetes_instance,
    }[kind]()
    for name in set(re.findall(r"'env': '(\w+)'", str(config))):
        monkeypatch.setenv(name, "given")
    config["storage"] = {"sqlite": {"base_dir": str(tmp_path)}}
    config["compute_logs"]["config"]["local_dir"] = str(tmp_path / "logs")
    launcher = config.get("run_launcher", {})
    if launcher:
        pytest.importorskip(launcher["module"], reason=f"no {launcher['module']} (pip install 'segassets[team]')")
    if kind == "kubernetes":
        launcher["config"]["load_incluster_config"] = False  # there is no cluster here
    with dg.DagsterInstance.from_config(str(install(config, tmp_path))) as instance:
        assert type(instance.compute_log_manager).__name__ == "S3ComputeLogManager"
        if kind == "kubernetes":
            with pytest.raises(Exception, match="kube-config"):
                _ = instance.run_launcher
        elif kind == "docker":
            assert type(instance.run_launcher).__name__ == "DockerRunLauncher"


def test_the_three_team_instances_differ_only_in_where_runs_are():
    plain = template("dagster.postgres.yaml")
    for other in (template("docker/dagster.yaml"), kubernetes_instance()):
        assert other.pop("run_launcher")
        assert other == plain


@pytest.mark.parametrize(("name", "document"), OBJECTS, ids=lambda value: value if isinstance(value, str) else "")
def test_kubernetes_objects_fit_the_schema(name, document):
    validate = pytest.importorskip("kubernetes_validate", reason="no kubernetes-validate")
    validate.validate(document, "1.30", strict=True)


def test_every_container_is_limited_and_unprivileged():
    for name, pod, container in containers():
        assert set(container["resources"]) == {"requests", "limits"}, name
        assert pod["securityContext"]["runAsNonRoot"], name
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"], name


def test_every_name_that_is_referred_to_exists():
    """Config maps, their keys and services; secrets are made by hand, so their keys have to be in the instructions."""
    maps = {o["metadata"]["name"]: o["data"] for _, o in OBJECTS if o["kind"] == "ConfigMap"}
    readme = (DEPLOY / "kubernetes/README.md").read_text(encoding="utf-8")
    for name, pod, container in containers():
        for volume in pod.get("volumes", ()):
            assert "configMap" not in volume or volume["configMap"]["name"] in maps, name
        for given in container.get("env", ()):
            source = given.get("valueFrom", {})
            if found := source.get("configMapKeyRef"):
                assert found["key"] in maps[found["name"]], name
            if found := source.get("secretKeyRef"):
                assert found["name"] == "segassets-secrets" and found["key"] in readme, name
    settings, launcher = maps["segassets-settings"], kubernetes_instance()["run_launcher"]["config"]
    for variable in re.findall(r"'env': '(\w+)'", str(kubernetes_instance())):
        assert variable in settings or variable in readme
    assert launcher["env_config_maps"] == ["segassets-settings"] and launcher["env_secrets"] == ["segassets-secrets"]
    assert launcher["instance_config_map"] in maps
    object_of("Service", settings["SEGASSETS_PG_HOST"])
    object_of("ServiceAccount", launcher["service_account_name"])
    (location,) = template("docker/workspace.yaml")["load_from"]
    object_of("Service", location["grpc_server"]["host"])
    assert maps["segassets-proxy"]["Caddyfile"] == (DEPLOY / "Caddyfile").read_text(encoding="utf-8")


def test_compose_publishes_one_port_on_loopback_and_gives_the_socket_to_the_daemon_alone():
    services = template("docker/compose.yaml")["services"]
    assert [name for name, s in services.items() if s.get("ports")] == ["proxy"]
    assert all(port.startswith("127.0.0.1:") for port in services["proxy"]["ports"])
    assert [name for name, s in services.items() if "docker.sock" in str(s.get("volumes"))] == ["daemon"]
    (location,) = template("docker/workspace.yaml")["load_from"]
    assert location["grpc_server"]["host"] in services
    assert services["webserver"]["network_mode"] == "service:proxy"
    check_ui(services["webserver"]["command"])


def check_ui(command: list[str]) -> None:
    """The command line of the webserver's container is one that `segassets` takes, without a second daemon."""
    program, name, *arguments = command
    context = cli.commands[name].make_context(name, list(arguments))
    assert program == "segassets" and context.params["no_daemon"] and not context.params["read_only"]
    assert len(context.params["public_urls"]) == 1 and "SEGASSETS_PUBLIC_URL" in context.params["public_urls"][0]
    assert str(context.params["workspace"]) == "/opt/segassets/workspace.yaml"


def test_the_webservers_pod_starts_what_there_is():
    (command,) = [c["args"] for name, _, c in containers() if (name, c["name"]) == ("segassets-webserver", "webserver")]
    check_ui(command)
    assert "SEGASSETS_PUBLIC_URL" in object_of("ConfigMap", "segassets-settings")["data"]


def test_compose_takes_the_file(tmp_path):
    """Compose's own check, where it is installed; the first version does not know the project's name yet."""
    if not shutil.which("docker-compose"):
        pytest.skip("no docker-compose (apt-get install -y --no-install-recommends docker-compose)")
    text = (DEPLOY / "docker/compose.yaml").read_text(encoding="utf-8")
    (tmp_path / "compose.yaml").write_text(text.replace("name: segassets\n", "", 1))
    given = dict.fromkeys(re.findall(r"\$\{(\w+)", text), "given") | {
        "SEGASSETS_PUBLIC_URL": "https://data.example.org"
    }
    command = ["docker-compose", "-f", str(tmp_path / "compose.yaml"), "config"]
    done = subprocess.run(command, env={**os.environ, **given}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert "https://data.example.org" in services["webserver"]["command"]
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run(
            command, env={**os.environ, **given, "SEGASSETS_PG_PASSWORD": ""}, capture_output=True, check=True
        )


def test_compose_hands_on_every_variable_that_the_instance_and_the_runs_need():
    compose = template("docker/compose.yaml")
    given = set(compose["services"]["daemon"]["environment"])
    instance = template("docker/dagster.yaml")
    assert set(re.findall(r"'env': '(\w+)'", str(instance))) <= given
    assert set(instance["run_launcher"]["config"]["env_vars"]) == given
    assert compose["networks"]["default"]["name"] == instance["run_launcher"]["config"]["network"]
    documented = (DEPLOY / "docker/example.env").read_text(encoding="utf-8")
    for variable in re.findall(r"\$\{(\w+)", (DEPLOY / "docker/compose.yaml").read_text(encoding="utf-8")):
        assert f"{variable}=" in documented, variable


@pytest.mark.parametrize("path", [p for p in sorted(DEPLOY.rglob("*")) if p.is_file()], ids=lambda p: p.name)
def test_no_secret_stands_in_a_file(path):
    if path.suffix != ".pyc":
        assert not SECRET.search(path.read_text(encoding="utf-8"))
