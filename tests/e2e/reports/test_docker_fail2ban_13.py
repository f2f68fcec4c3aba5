"""crazy-max/docker-fail2ban#13: an IPv6 client that is banned must not reach a container's published port."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.site import published, reach_as
from tests.lab.net import FAR_ADDRESS, NEIGHBOUR_ADDRESS
from tests.lab.probe import ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.reports.host import Host

_JAIL = "f2b-nginx"


def _ip6tables(host: Host, command: str) -> None:
    host.engine.exec("ip6tables", *command.split())


def _let_in(host: Host, port: int, name: str) -> None:
    """Wait until both clients reach the container."""
    for client in (FAR_ADDRESS, NEIGHBOUR_ADDRESS):
        reach_as(host.neighbour, published(port), name, client, source=client)


def _answer(host: Host, port: int, client: str) -> tuple[str, str] | None:
    """Which container answers the client, and the client's address as the container saw it."""
    patience = 0.3 if client == NEIGHBOUR_ADDRESS else 5.0
    answer = ask(host.neighbour, published(port), source=client, patience=patience)
    return None if answer is None else (answer.name, str(answer.client))


def _kept_out(host: Host, port: int, name: str) -> None:
    """The banned client gets no answer, as soon as the accept rule has moved, and the other one does."""

    def only_the_other() -> bool:
        # twice, because on a busy machine an answer may take too long once
        answers = [_answer(host, port, client) for client in (NEIGHBOUR_ADDRESS, FAR_ADDRESS) * 2]
        return answers == [None, (name, FAR_ADDRESS)] * 2

    eventually(only_the_other, "only the banned client is kept out")


@pytest.mark.cells("28.5")
def test_a_banned_client_does_not_reach_a_published_port(host: Host) -> None:
    host.create_network("nginx", "fd00:f2b::/64")
    host.policy("nginx", {"selector": {"names": ["nginx"]}})
    host.run("nginx-13", "nginx", ports={"80/tcp": 8013})
    reach_as(host.neighbour, published(8013), "nginx-13", NEIGHBOUR_ADDRESS, source=NEIGHBOUR_ADDRESS)

    with host.xtables_restored():
        # fail2ban's action with `chain = DOCKER-USER`
        for command in (f"-N {_JAIL}", f"-A {_JAIL} -j RETURN", f"-I DOCKER-USER -p tcp -j {_JAIL}"):
            _ip6tables(host, command)
        ban = f"{_JAIL} -s {NEIGHBOUR_ADDRESS} -j REJECT --reject-with icmp6-port-unreachable"
        _ip6tables(host, f"-I {ban}")
        for _ in range(2):
            _kept_out(host, 8013, "nginx-13")
            # the repair of dockerv6's own rules must not lift the ban
            host.engine.netexec("nft", "flush", "table", "inet", "dockerv6")

        _ip6tables(host, f"-D {ban}")
        _let_in(host, 8013, "nginx-13")


@pytest.mark.cells("28.5", "28.5-legacy-proxy")
@pytest.mark.parametrize("first", ["ban", "dockerv6"])
def test_a_ban_that_is_appended_to_docker_user_is_in_force(fresh_host: Callable[..., Host], first: str) -> None:
    host = fresh_host()
    ban = f"-A DOCKER-USER -s {NEIGHBOUR_ADDRESS} -j DROP"
    if first == "ban":
        _ip6tables(host, ban)
    host.start()
    host.network("nginx")
    host.run("nginx-13", "nginx", ports={"80/tcp": 9999})
    if first == "dockerv6":
        _let_in(host, 9999, "nginx-13")
        _ip6tables(host, ban)

    _kept_out(host, 9999, "nginx-13")
    host.operator.wait_ready("ipv6network/nginx")
    host.operator.stop()
    host.start()
    host.create_network("later", "fd00:f2b:1::/64")
    host.operator.wait_ready("ipv6network/nginx")
    _kept_out(host, 9999, "nginx-13")

    _ip6tables(host, ban.replace("-A", "-D"))
    _let_in(host, 9999, "nginx-13")


@pytest.mark.cells("20.10-off", "20.10-on", "20.10-on-legacy-proxy", "28.5")
@pytest.mark.parametrize("first", ["ban", "dockerv6"])
def test_a_ban_in_forward_is_in_force(fresh_host: Callable[..., Host], first: str) -> None:
    host = fresh_host()
    host.create_network("nginx", "fd00:f2b::/64")
    host.run("nginx-13", "nginx", ports={"80/tcp": 8013})
    _ip6tables(host, "-P FORWARD DROP")  # some engines do this
    ban = f"-I FORWARD -s {NEIGHBOUR_ADDRESS} -j DROP"
    if first == "ban":
        _ip6tables(host, ban)
    host.start()
    host.policy("nginx", {"selector": {"names": ["nginx"]}})
    if first == "dockerv6":
        _let_in(host, 8013, "nginx-13")
        _ip6tables(host, ban)

    _kept_out(host, 8013, "nginx-13")
    host.operator.wait_ready("ipv6policy/nginx")
    # one client's ban does not drop the representative flow
    report = json.loads(host.operator.cli("doctor", "-o", "json", check=False).stdout)
    found = [each for each in report["checks"] if each["name"] == "host filter"]
    assert found
    assert [each for each in found if each["status"] == "fail"] == []


@pytest.mark.cells("20.10-off")
def test_a_ban_that_is_appended_to_forward_later_is_in_force(fresh_host: Callable[..., Host]) -> None:
    host = fresh_host()
    _ip6tables(host, "-P FORWARD DROP")
    host.start()
    host.network("nginx")
    host.run("nginx-13", "nginx", ports={"80/tcp": 8013})
    _let_in(host, 8013, "nginx-13")

    _ip6tables(host, f"-A FORWARD -s {NEIGHBOUR_ADDRESS} -j DROP")
    _kept_out(host, 8013, "nginx-13")
    host.operator.wait_ready("ipv6network/nginx")
