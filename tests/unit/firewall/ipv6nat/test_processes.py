from pathlib import Path

from dockerv6.firewall.ipv6nat.processes import at_work


def process(proc: Path, name: str, command: str, network: str) -> None:
    (proc / name / "net").mkdir(parents=True)
    (proc / name / "comm").write_text(f"{command}\n")
    file = proc / network
    file.touch()
    (proc / name / "net" / "dev").hardlink_to(file)


def test_only_its_processes_in_our_network_namespace_count(tmp_path: Path) -> None:
    process(tmp_path, "thread-self", "pytest", "ours")
    process(tmp_path, "20", "docker-ipv6nat", "ours")
    process(tmp_path, "7", "docker-ipv6nat", "ours")
    process(tmp_path, "8", "docker-ipv6nat", "another")
    process(tmp_path, "9", "dockerd", "ours")
    (tmp_path / "10").mkdir()  # it ended while we looked
    assert at_work(tmp_path) == (7, 20)
