import pytest

from dockerv6.daemon import preview, process
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.address import DockerHostError
from dockerv6.dockerd.port import EngineUnavailable
from tests.unit.cli.harness import Patch, returning, run


def test_run_returns_the_exit_code_of_the_daemon(monkeypatch: Patch) -> None:
    calls = returning(monkeypatch, process, "run", 3)
    assert run(["run", "--log-level", "debug"]).exit_code == 3
    assert calls == [(Settings(log_level="debug"),)]


@pytest.mark.parametrize("verb", ["run", "apply", "plan", "uninstall"])
@pytest.mark.parametrize("error", [EngineUnavailable("no engine"), DockerHostError("Docker host 'x': can't be used")])
def test_an_expected_error_is_one_line(monkeypatch: Patch, verb: str, error: Exception) -> None:
    where = {"run": process, "apply": process, "plan": preview, "uninstall": process}[verb]
    returning(monkeypatch, where, "preview" if verb == "plan" else verb, error)
    result = run([verb, *(["--yes"] if verb == "uninstall" else [])])
    assert (result.exit_code, result.stderr) == (1, f"Error: {error}\n")
