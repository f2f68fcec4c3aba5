import pytest

from dockerv6.cli.commands import prune
from dockerv6.store.model import StoredObject
from tests.unit.cli.harness import NOW, Daemon, condition, run, stored


def stored_with_held_deletion(name: str) -> StoredObject:
    conditions = [condition("Ready", "True", "InSync"), condition("PruneHeld", "True", "PruneHeld")]
    return stored(
        name, missing_since=NOW - 90, status={"conditions": conditions, "subnet": "fd00::/64", "containers": 2}
    )


def test_without_held_deletions_nothing_is_written(daemon: Daemon) -> None:
    daemon.accept(stored("blog"))
    result = run(["prune", "--confirm"])
    assert (result.exit_code, result.stdout) == (0, "No deletions are held back.\n")
    assert daemon.record("prune", "confirmed-resources") is None


def test_held_deletions_are_shown(daemon: Daemon) -> None:
    daemon.accept(stored_with_held_deletion("a"), stored_with_held_deletion("b"), stored("kept"))
    daemon.hold("resources", "IPv6Network/a", "IPv6Network/b")
    result = run(["prune"])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "NAME            SUBNET      CONTAINERS   MISSING   SOURCE",
        "ipv6network/a   fd00::/64   2            90s       /etc/dockerv6.d/a.yaml",
        "ipv6network/b   fd00::/64   2            90s       /etc/dockerv6.d/b.yaml",
    ]
    assert "dockerv6 prune --confirm" in result.stderr
    assert daemon.record("prune", "confirmed-resources") is None


def test_the_held_names_are_read_once_however_many_resources_there_are(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.accept(*(stored(f"n{number}") for number in range(20)), stored_with_held_deletion("a"))
    daemon.hold("resources", "IPv6Network/a")
    reads: list[object] = []
    names = prune._names

    def counted(record: dict[str, object] | None) -> tuple[str, ...]:
        reads.append(record)
        return names(record)

    monkeypatch.setattr(prune, "_names", counted)
    assert len(run(["prune"]).stdout.splitlines()) == 2
    assert len(reads) == 2


def test_a_confirmation_is_stored(daemon: Daemon) -> None:
    daemon.accept(stored_with_held_deletion("a"))
    daemon.hold("resources", "IPv6Network/a")
    result = run(["prune", "--confirm"])
    assert result.exit_code == 0
    assert "when it is started: it is not running" in result.stderr
    assert daemon.record("prune", "confirmed-resources") == {"names": ["IPv6Network/a"]}


def test_a_running_daemon_acts_on_it(running: Daemon) -> None:
    running.accept(stored_with_held_deletion("a"))
    running.hold("resources", "IPv6Network/a")
    assert run(["prune", "--confirm"]).stderr == "Confirmed. The daemon deletes these now.\n"


def test_networks_without_a_resource_are_held_too(daemon: Daemon) -> None:
    daemon.accept(stored("blog"))
    daemon.hold("networks", "old", "older")
    assert run(["prune"]).stdout == "Docker networks that belong to no resource: old, older\n"
    run(["prune", "--confirm"])
    assert daemon.record("prune", "confirmed-networks") == {"names": ["old", "older"]}
    assert daemon.record("prune", "confirmed-resources") is None
