from pathlib import Path

from dockerv6.firewall.ipv6nat.processes import at_work


def process(proc: Path, name: str, command: str, network: str) -> None:
    (proc / name / "ns").mkdir(parents=True)
    (proc / name / "comm").write_text(f"{command}\n")
    (proc / name / "ns" / "net").symlink_to(network)


def test_only_its_processes_in_our_network_namespace_count(tmp_path: Path) -> None:
    process(tmp_path, "thread-self", "pytest", "net:[1]")
    process(tmp_path, "20", "docker-ipv6nat", "net:[1]")
    process(tmp_path, "7", "docker-ipv6nat", "net:[1]")
    process(tmp_path, "8", "docker-ipv6nat", "net:[2]")
    process(tmp_path, "9", "dockerd", "net:[1]")
    (tmp_path / "10").mkdir()  # it ended while we looked
    assert at_work(tmp_path) == (7, 20)
