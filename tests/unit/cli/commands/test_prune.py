from dockerv6.store.model import EventType, StoredObject
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
    assert daemon.record("prune", "confirmed") is None


def test_held_deletions_are_shown(daemon: Daemon) -> None:
    daemon.accept(stored_with_held_deletion("a"), stored_with_held_deletion("b"), stored("kept"))
    result = run(["prune"])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "NAME            SUBNET      CONTAINERS   MISSING   SOURCE",
        "ipv6network/a   fd00::/64   2            90s       /etc/dockerv6.d/a.yaml",
        "ipv6network/b   fd00::/64   2            90s       /etc/dockerv6.d/b.yaml",
    ]
    assert "dockerv6 prune --confirm" in result.stderr
    assert daemon.record("prune", "confirmed") is None


def test_a_confirmation_is_stored(daemon: Daemon) -> None:
    daemon.accept(stored_with_held_deletion("a"))
    result = run(["prune", "--confirm"])
    assert result.exit_code == 0
    assert "when it is started: it is not running" in result.stderr
    assert daemon.record("prune", "confirmed") == {"at": NOW, "held": ["IPv6Network/a"]}


def test_a_running_daemon_acts_on_it(running: Daemon) -> None:
    running.accept(stored_with_held_deletion("a"))
    assert run(["prune", "--confirm"]).stderr == "Confirmed. The daemon deletes these now.\n"


def test_networks_without_a_resource_are_held_too(daemon: Daemon) -> None:
    daemon.accept(stored("blog"))
    daemon.event(
        EventType.WARNING, "PruneHeld", "5 of 6 Docker networks belong to no resource", 60, about=("Host", "x")
    )
    assert run(["prune"]).stdout == "5 of 6 Docker networks belong to no resource (60s ago)\n"
    run(["prune", "--confirm"])
    assert daemon.record("prune", "confirmed") == {"at": NOW, "held": []}


def test_old_events_are_not_shown(daemon: Daemon) -> None:
    daemon.event(EventType.WARNING, "PruneHeld", "long gone", 7200, about=("Host", "garbage"))
    assert run(["prune"]).stdout == "No deletions are held back.\n"
