"""Errors that end a command: one line on standard error, and the status that says of which kind it is."""

from __future__ import annotations

import pytest
import sqlalchemy.exc

from segassets import cli


def _ends_with(monkeypatch, capsys, problem: BaseException) -> tuple[int, str]:
    def fails(**_arguments):
        raise problem

    monkeypatch.setattr(cli.cli, "main", fails)
    monkeypatch.delenv("SEGASSETS_DEBUG", raising=False)
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code, capsys.readouterr().err


def test_a_database_that_is_away_is_named_however_it_was_wrapped(monkeypatch, capsys):
    away = sqlalchemy.exc.OperationalError("select 1", {}, RuntimeError("connection to server at\n 127.0.0.1 failed"))
    given_up = RuntimeError("too many retries")
    given_up.__cause__ = away
    status, said = _ends_with(monkeypatch, capsys, given_up)
    assert status == 1
    assert said.count("\n") == 1
    assert "database did not answer: connection to server at 127.0.0.1 failed" in said
    assert "please report it" not in said


def test_an_error_nobody_foresaw_asks_to_be_reported(monkeypatch, capsys):
    status, said = _ends_with(monkeypatch, capsys, RuntimeError("what was not thought of"))
    assert status == 1
    assert (
        said
        == "segassets: RuntimeError: what was not thought of (a fault of segassets: please report it; SEGASSETS_DEBUG=1)\n"
    )
