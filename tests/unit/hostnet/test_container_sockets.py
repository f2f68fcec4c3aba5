"""Sockets of containers, from a directory like /proc. The end-to-end tests read those of real containers."""

from pathlib import Path

import pytest

from dockerv6.hostnet.model import ContainerSockets
from dockerv6.hostnet.sockets import ContainerProcesses

WEB, OTHER = "a" * 64, "b" * 64
HEADING = "  sl  local_address rem_address   st\n"
ANY_4, LOCAL_4 = "00000000", "0100007F"
ANY_6, LOCAL_6, MAPPED = "0" * 32, "0" * 24 + "01000000", "0000000000000000FFFF000000000000"
LISTEN, CLOSE, ESTABLISHED = "0A", "07", "01"


def add_process(proc: Path, pid: int, cgroup: str, **tables: list[tuple[str, int, str]]) -> None:
    """A process with its control group, and the tables of its network namespace."""
    net = proc / str(pid) / "net"
    net.mkdir(parents=True)
    (proc / str(pid) / "cgroup").write_text(f"0::{cgroup}\n")
    for name, rows in tables.items():
        lines = (f"   0: {address}:{port:04X} 00000000:0000 {state} rest\n" for address, port, state in rows)
        (net / name).write_text(HEADING + "".join(lines))


@pytest.mark.parametrize("cgroup", [f"/docker/{WEB}", f"/system.slice/docker-{WEB}.scope", f"/../docker/{WEB}"])
def test_a_container_is_found_by_its_control_group(tmp_path: Path, cgroup: str) -> None:
    add_process(tmp_path, 1, "/init.scope", tcp=[(ANY_4, 22, LISTEN)])
    add_process(tmp_path, 7, cgroup, tcp=[(ANY_4, 80, LISTEN)])
    (tmp_path / "self").mkdir()
    assert ContainerProcesses(tmp_path).sockets([WEB]) == {WEB: ContainerSockets(frozenset({("tcp", 80)}))}


def test_a_container_in_a_container_is_another_one(tmp_path: Path) -> None:
    add_process(tmp_path, 7, f"/docker/{OTHER}/docker/{WEB}", tcp=[(ANY_4, 80, LISTEN)])
    assert ContainerProcesses(tmp_path).sockets([OTHER]) == {}


def test_only_what_waits_and_can_be_reached_counts(tmp_path: Path) -> None:
    add_process(
        tmp_path,
        7,
        f"/docker/{WEB}",
        tcp=[(ANY_4, 80, LISTEN), (LOCAL_4, 81, LISTEN), (ANY_4, 82, ESTABLISHED)],
        tcp6=[(ANY_6, 443, LISTEN), (LOCAL_6, 444, LISTEN), (MAPPED, 8080, LISTEN)],
        udp=[(ANY_4, 53, CLOSE)],
        udp6=[(ANY_6, 53, CLOSE)],
    )
    assert ContainerProcesses(tmp_path).sockets([WEB]) == {
        WEB: ContainerSockets(
            frozenset({("tcp", 80), ("tcp", 8080), ("udp", 53)}), frozenset({("tcp", 443), ("udp", 53)})
        )
    }


def test_one_whose_processes_can_not_be_seen_is_left_out_until_others_come(tmp_path: Path) -> None:
    processes = ContainerProcesses(tmp_path)
    assert processes.sockets([WEB]) == {}
    add_process(tmp_path, 7, f"/docker/{WEB}")
    assert processes.sockets([WEB]) == {}  # it was sought, and is not sought again
    assert processes.sockets([WEB, OTHER]) == {WEB: ContainerSockets()}


def test_one_that_was_not_wanted_in_between_is_sought_again(tmp_path: Path) -> None:
    processes = ContainerProcesses(tmp_path)
    assert processes.sockets([WEB]) == {}  # between a crash and its restart
    assert processes.sockets([]) == {}
    add_process(tmp_path, 7, f"/docker/{WEB}")
    assert processes.sockets([WEB]) == {WEB: ContainerSockets()}


def test_a_process_id_that_was_used_again_is_not_the_containers(tmp_path: Path) -> None:
    processes = ContainerProcesses(tmp_path)
    add_process(tmp_path, 7, f"/docker/{WEB}")
    assert processes.sockets([WEB]) == {WEB: ContainerSockets()}
    (tmp_path / "7" / "cgroup").write_text("0::/user.slice\n")
    assert processes.sockets([WEB]) == {}
