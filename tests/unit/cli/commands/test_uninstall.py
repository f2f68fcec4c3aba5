from dockerv6.daemon import process
from dockerv6.daemon.settings import Settings
from tests.unit.cli.harness import Patch, returning, run


def test_uninstall_asks_on_a_terminal_only(monkeypatch: Patch) -> None:
    calls = returning(monkeypatch, process, "uninstall", ("removed a", "removed b"))
    assert run(["uninstall"]).exit_code == 2
    monkeypatch.setattr("dockerv6.cli.commands.uninstall.interactive", lambda: True)
    refused = run(["uninstall"], input="n\n")
    assert (refused.exit_code, calls) == (1, [])
    assert "nothing was removed" in refused.stderr
    assert run(["uninstall"], input="y\n").stdout.endswith("removed a\nremoved b\n")
    assert calls == [(Settings(), False)]


def test_uninstall_may_keep_the_networks(monkeypatch: Patch) -> None:
    calls = returning(monkeypatch, process, "uninstall", ())
    assert run(["uninstall", "--yes", "--keep-networks"]).exit_code == 0
    assert calls == [(Settings(), True)]
