"""Dagster's instance: what is wrong with it in one line; several commands may create it at once."""

import subprocess
import sys

import pytest

from segassets import instance
from segassets.errors import SegassetsError


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "config, told",
    [
        ("a: [", "dagster.yaml, line 1: .*correct it"),
        ("nonsense: 3", "as Dagster's documentation has it"),
        (
            "compute_logs: {module: dagster_aws.s3.compute_log_manager, class: S3ComputeLogManager, "
            "config: {bucket: {env: NO_SUCH_VARIABLE}}}",
            "environment variable NO_SUCH_VARIABLE, which is not set",
        ),
    ],
)
def test_a_faulty_configuration_is_one_line(home, config, told):
    (home / "dagster.yaml").write_text(config)
    with pytest.raises(SegassetsError, match=told) as found:
        instance.opened()
    assert "\n" not in str(found.value)


def test_a_relative_home_is_refused(monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", "relative")
    with pytest.raises(SegassetsError, match="DAGSTER_HOME"):
        instance.opened()


def test_tables_that_another_process_is_creating_are_waited_for(home, monkeypatch):
    monkeypatch.setattr(instance, "CREATION_SECONDS", 0)
    opened = instance.DagsterInstance.get
    problems = [RuntimeError("table alembic_version already exists")] * 2

    def get():
        if problems:
            raise problems.pop()
        return opened()

    monkeypatch.setattr(instance.DagsterInstance, "get", get)
    assert instance.opened().root_directory == str(home)


def test_many_processes_may_open_a_new_instance_at_once(home):
    code = "from segassets.instance import opened; opened().get_runs()"
    started = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, cwd=home) for _ in range(4)
    ]
    assert [(one.communicate(timeout=120)[1][-300:], one.returncode) for one in started if one.wait(120)] == []
