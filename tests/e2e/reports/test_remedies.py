"""The commands of messages, pasted on a host with a real engine, and with the real firewalld and ufw."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from dockerv6.dockerd.refusals import explain
from tests.e2e.cluster import condition, eventually, has_condition, network_yaml, resource
from tests.e2e.site import published, reach_as
from tests.lab.net import NEIGHBOUR_ADDRESS
from tests.lab.probe import Port

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.reports.host import Host
    from tests.lab.firewalls import HostFirewalls

pytestmark = pytest.mark.core_cells("28.5")

_COMMANDS = ("ip6tables-", "nft ", "firewall-cmd ")
READY = ("Ready", "True", "ReconcileSucceeded")


def blocked(host: Host, name: str) -> str:
    """Wait until a filter of the host drops what the network needs, and return the message."""
    eventually(has_condition(host.operator, name, "Ready", "False", "FirewallBlocked"), "what drops is named")
    found = condition(host.operator, name, "FirewallReady")
    assert found is not None
    return str(found["message"])


def commands_in(message: str) -> list[str]:
    """Each is a line of its own."""
    found = [line for line in message.splitlines() if line.startswith(_COMMANDS)]
    assert found, message
    return found


@pytest.mark.cells("28.5")
def test_what_the_engine_drops_in_raw_is_one_finding_with_a_remedy_that_works(fresh_host: Callable[..., Host]) -> None:
    host = fresh_host()
    host.start()
    subnet = "fd12:28:5:a::/64"
    host.network("shop", {"addressing": {"subnet": subnet}, "firewall": {"ingress": [{"ports": [{"port": 80}]}]}})
    foreseen = ["FirewallBlocked"]
    eventually(lambda: host.status("shop", "ipv6network").get("warnings") == foreseen, "it is foreseen")
    host.lab.neighbour.add_route(subnet)
    host.run("web", "shop")
    commands = commands_in(blocked(host, "shop"))
    # the first walk may precede the engine's event, and meet the container at the address that it takes for an example
    eventually(lambda: "warnings" not in host.status("shop", "ipv6network"), "it is one finding")
    (planned,) = (each for each in plans(host) if each["name"] == "shop")
    assert [each["reason"] for each in planned["findings"]] == ["FirewallBlocked"]
    for command in commands:
        host.engine.netexec(*shlex.split(command))
    eventually(has_condition(host.operator, "shop", *READY), "the remedy works")
    reach_as(host.neighbour, Port("tcp", host.address("web", "shop"), 80), "web", NEIGHBOUR_ADDRESS)
    assert "warnings" not in host.status("shop", "ipv6network")


@pytest.mark.cells("28.5")
def test_the_option_that_is_offered_before_there_are_containers_works_too(fresh_host: Callable[..., Host]) -> None:
    host = fresh_host()
    host.start()
    subnet = "fd12:28:5:b::/64"
    spec: dict[str, Any] = {"addressing": {"subnet": subnet}, "firewall": {"ingress": [{"ports": [{"port": 80}]}]}}
    host.network("shop", spec)
    found = condition(host.operator, "shop", "FirewallReady")
    assert found is not None
    name, value = found["message"].partition("options: {")[2].partition("}")[0].split(": ")
    host.operator.apply_yaml("shop.yaml", network_yaml("shop", {**spec, "options": {name: json.loads(value)}}))
    eventually(has_condition(host.operator, "shop", "FirewallReady", "True", "InSync"), "nothing is foreseen")
    host.operator.wait_ready("ipv6network/shop")
    host.lab.neighbour.add_route(subnet)
    host.run("web", "shop")
    reach_as(host.neighbour, Port("tcp", host.address("web", "shop"), 80), "web", NEIGHBOUR_ADDRESS)


def plans(host: Host) -> list[dict[str, Any]]:
    planned = json.loads(host.operator.cli("plan", "-o", "json", check=False).stdout)
    return list(planned["plans"] if isinstance(planned, dict) else planned)


def test_firewalld_lets_a_network_pass_after_its_remedy_and_after_reloads(
    fresh_host: Callable[..., Host], firewalls: Callable[[Host], HostFirewalls]
) -> None:
    """The engine leaves the packet filter alone, and so doesn't tell firewalld of its bridges."""
    host = fresh_host(config={"iptables": False, "ip6tables": False})
    installed = firewalls(host)
    installed.start_firewalld()
    installed.firewall_cmd("--set-default-zone=drop")
    host.start()
    host.operator.apply_yaml("blog.yaml", network_yaml("blog"))
    message = blocked(host, "blog")
    assert "inet table firewalld" in message
    host.run("blog-web", "blog", ports={"80/tcp": 8010})
    assert not host.pings("blog-web", expected=False)
    for command in commands_in(message):
        installed.exec(*shlex.split(command))
    eventually(has_condition(host.operator, "blog", *READY), "the remedy works")
    assert host.pings("blog-web")
    reach_as(host.neighbour, published(8010), "blog-web", NEIGHBOUR_ADDRESS)
    assert "--permanent keeps it" in message
    for reload in ("--reload", "--complete-reload"):
        installed.firewall_cmd(reload)
        assert host.pings("blog-web")
        host.operator.wait_ready("ipv6network/blog")


@pytest.mark.cells("20.10-off")
def test_ufw_lets_a_network_pass_after_the_remedy(
    fresh_host: Callable[..., Host], firewalls: Callable[[Host], HostFirewalls]
) -> None:
    """An administrator's own rule for routed packets, in a chain of ufw's that every packet passes."""
    host = fresh_host()
    installed = firewalls(host)
    installed.ufw("--force", "enable")
    host.start()
    host.network("blog")
    host.run("blog-web", "blog")
    assert host.pings("blog-web")
    bridge = resource(host.operator, "blog")["status"]["bridge"]
    installed.ufw("route", "deny", "in", "on", bridge)
    message = blocked(host, "blog")
    assert "ufw6-user-forward" in message
    for command in commands_in(message):
        host.engine.netexec(*shlex.split(command))
    eventually(has_condition(host.operator, "blog", *READY), "the remedy works")
    assert host.pings("blog-web")


def test_what_the_engine_refuses_it_accepts_after_the_remedy(fresh_host: Callable[..., Host]) -> None:
    """The engine's own words lead to the command."""
    pools = [{"base": "172.30.0.0/23", "size": 24}]
    host = fresh_host(config={"default-address-pools": pools})
    docker = host.engine.docker

    def refused(*arguments: str) -> str:
        done = docker(*arguments, check=False)
        assert done.returncode
        explained = explain(done.stderr)
        assert explained is not None, done.stderr
        return next(each for each in explained[2].split("`")[1::2] if "docker network" in each)

    docker("network", "create", "one", "--subnet", "10.99.1.0/24")
    host.run("web", "one")
    again = ("network", "create", "two", "--subnet", "10.99.2.0/24")
    docker(*again)
    for arguments, more in ((again, ()), (("network", "connect", "one", "web"), ())):
        program, *remedy = shlex.split(refused(*arguments))
        assert program == "docker"
        docker(*remedy, *more)
        docker(*arguments)
    number = 0
    while docker("network", "create", f"more{number}", check=False).returncode == 0:
        number += 1
    _, *remedy = shlex.split(refused("network", "create", "last"))
    docker(*remedy, "--force")  # a person answers the question
    docker("network", "create", "last")


def test_containers_that_a_deletion_waits_for_are_detached_as_it_says(fresh_host: Callable[..., Host]) -> None:
    host = fresh_host()
    host.start()
    host.network("blog")
    for name in ("one", "two"):
        host.run(name, "blog")
    host.operator.remove_yaml("blog.yaml")
    eventually(has_condition(host.operator, "blog", "Ready", "False", "Deleting"), "it waits")
    found = condition(host.operator, "blog", "Ready")
    assert found is not None
    commands = found["message"].split("`")[1::2]
    assert len(commands) == 2
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "docker"
        host.engine.docker(*arguments)
    eventually(lambda: "blog" not in host.engine.docker("network", "ls").stdout, "the network is removed")
