"""The operator does all its work with what the systemd unit and the Compose file allow, and every capability is needed.

The unit is run by Debian's systemd: capabilities, seccomp filter, mount namespace and limits are those of a real host.
"""

from __future__ import annotations

import os
from configparser import RawConfigParser
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from tests.e2e import registry
from tests.e2e.cluster import condition, eventually, forwarding, network_id, network_yaml, our_table, subnet_of
from tests.e2e.compose import ContainerOperator, operator_project
from tests.e2e.provider import UPLINK
from tests.lab.cells import CELLS
from tests.lab.net import FAR_ADDRESS, ping
from tests.lab.process import run
from tests.lab.systemd import SERVICE, ServiceOperator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.provider import Premises
    from tests.lab.engine import Engine
    from tests.lab.lab import EnginePool, Lab
    from tests.lab.session import Session

_UNIT = registry.ROOT / "manifests" / "systemd" / SERVICE
_LINK = "2001:db8:1::/64"
_POOL = {"fromInterface": {"name": UPLINK, "prefixLength": 80, "offset": 1}, "allocationLength": 112}
_ROUTED = {
    "addressing": {"poolRef": {"name": "vps"}},
    "egress": {"mode": "Routed"},
    "ndpProxy": {"enabled": True},
    "firewall": {"ingress": [{"ports": [{"port": 80}]}]},
}
_TRANSLATED = {"addressing": {"subnet": "fd12:3456:789a:7::/64"}, "updateStrategy": "Recreate"}
_NEW_SUBNET = "fd12:3456:789a:8::/64"
_RENUMBERED = {**_TRANSLATED, "addressing": {"subnet": _NEW_SUBNET}}
_MACVLAN = {"driver": "macvlan", "options": {"parent": UPLINK}, "addressing": {"subnet": "2001:db8:1:0:2::/80"}}
_NUMBERS = {"CAP_DAC_READ_SEARCH": 2, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}  # linux/capability.h

# the first run builds the image (test_packaging.py)
pytestmark = [pytest.mark.timeout(1800), pytest.mark.cells("28.5")]


@pytest.fixture(scope="module")
def archive(lab_session: Session) -> Path:
    """The image of the committed Dockerfile."""
    return registry.image_archive(lab_session, CELLS["28.5"].settings, registry.TAG)


@pytest.fixture(scope="module")
def host_root(lab_session: Session, engine_pool: EnginePool) -> list[Path]:
    """The layers of a Debian host on which the operator is installed as in the image, with systemd."""
    return registry.installed_host(lab_session, engine_pool)


@pytest.fixture
def make_service(host_root: list[Path], tmp_path: Path) -> Callable[[Lab], ServiceOperator]:
    """Create a host with systemd beside a lab's engine."""
    return lambda lab: lab.adopt(ServiceOperator(lab.engine, tmp_path / "service", host_root, _UNIT))


def _unit() -> dict[str, str]:
    parser = RawConfigParser(delimiters=("=",), strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(_UNIT.read_text())
    return dict(parser["Service"])


def _status(proc: Path) -> dict[str, str]:
    lines = (proc / "status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _mask(capabilities: list[str]) -> int:
    return sum(1 << _NUMBERS[name] for name in capabilities)


def test_service_does_all_its_work(premises: Premises, make_service: Callable[[Lab], ServiceOperator]) -> None:
    service = make_service(premises.lab)
    premises = replace(premises, operator=service)
    _set_up(premises)
    unit, status = _unit(), _status(service.proc)
    allowed = _mask(unit["CapabilityBoundingSet"].split())
    assert {int(status[name], 16) for name in ("CapBnd", "CapPrm", "CapEff")} == {allowed}
    assert (status["NoNewPrivs"], status["Seccomp"], int(status["CapAmb"], 16)) == ("1", "2", 0)
    root = next(line for line in (service.proc / "mountinfo").read_text().splitlines() if " / / " in line)
    assert " ro," in root
    assert service.limits() == {"pids": unit["TasksMax"], "memory": str(256 << 20)}
    _all_work(premises, service.proc)
    assert service.properties("NRestarts") == {"NRestarts": "0"}
    assert service.stop() == 0
    assert service.properties("Result") == {"Result": "success"}
    assert _denials(service.log.read_text()) == []


def test_service_does_all_its_work_as_another_user_than_root(
    premises: Premises, make_service: Callable[[Lab], ServiceOperator]
) -> None:
    service = make_service(premises.lab)
    service.boot()
    service.exec("sh", "-c", f"echo docker:x:{premises.engine.socket.stat().st_gid}: >>/etc/group")
    capabilities = "CAP_NET_ADMIN CAP_NET_RAW"
    service.override({"User": "daemon", "SupplementaryGroups": "docker", "AmbientCapabilities": capabilities})
    premises = replace(premises, operator=service)
    _set_up(premises)
    status = _status(service.proc)
    assert (status["Uid"].split()[1], int(status["CapEff"], 16)) == ("1", _mask(capabilities.split()))
    _all_work(premises, service.proc)
    assert service.stop() == 0
    assert _denials(service.log.read_text()) == []


def test_container_does_all_its_work(premises: Premises, archive: Path) -> None:
    with operator_project(premises.engine, archive) as project:
        operator = ContainerOperator(project, premises.lab.directory / "container", registry.TAG)
        premises.lab.adopt(operator)
        premises = replace(premises, operator=operator)
        _set_up(premises)
        status = _status(operator.proc)
        allowed = _mask([f"CAP_{name}" for name in project.document["services"]["dockerv6"]["cap_add"]])
        assert {int(status[name], 16) for name in ("CapBnd", "CapPrm", "CapEff")} == {allowed}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        _all_work(premises, operator.proc)
        assert operator.stop() == 0
        assert _denials(operator.log_tail(10_000)) == []


def _set_up(premises: Premises) -> None:
    """Start the operator with a routed, a translated, a macvlan and a members' network, each with a container."""
    premises.configure_static_uplink(_LINK)
    premises.start()
    premises.apply_pool("vps", _POOL)
    premises.network("web", _ROUTED)
    premises.network("nat", _TRANSLATED)
    premises.network("lan", _MACVLAN)
    premises.network("team", {"members": {"matchLabels": {"role": "member"}}})
    premises.run("www", "web")
    premises.run("shop", "nat", ports={"80/tcp": 8080})
    premises.run("guest", "lan")
    premises.run("member", None, labels={"role": "member"})


def _all_work(premises: Premises, proc: Path) -> None:
    """Check traffic and the kernel's state, repair, renumbering, observability and garbage collection."""
    engine, host = premises.engine, str(IPv6Network(_LINK)[2])
    web = premises.address("www", "web")

    def working() -> None:
        premises.assert_reachable(premises.router, web, "www")
        premises.assert_reachable(premises.router, host, "shop", port=8080)
        premises.wait_source_address("shop", host)
        eventually(lambda: premises.proxy_entries() == {web}, "the container has an NDP proxy entry")
        assert (premises.sysctl("proxy_ndp"), forwarding(engine)) == ("1", "1")

    working()
    eventually(lambda: premises.address("member", "team"), "the container is attached")

    engine.netexec("nft", "delete", "table", "inet", "dockerv6")
    engine.netexec("sysctl", "-w", "net.ipv6.conf.all.forwarding=0", f"net.ipv6.conf.{UPLINK}.proxy_ndp=0")
    premises.ip("neigh", "del", "proxy", web, "dev", UPLINK)
    eventually(lambda: our_table(engine) and forwarding(engine) == "1", "rules and sysctls are restored")
    eventually(lambda: premises.sysctl("proxy_ndp") == "1", "rules and sysctls are restored")
    working()
    engine.exec("ip6tables", "-P", "FORWARD", "DROP")
    working()
    engine.netexec("ip", "link", "del", "v6-nat")
    eventually(lambda: premises.address("shop", "nat"), "the network is created again")
    working()

    premises.apply("nat", _RENUMBERED)
    wanted = IPv6Network(_NEW_SUBNET)
    eventually(lambda: IPv6Address(premises.address("shop", "nat")) in wanted, "the container is renumbered")
    assert subnet_of(engine, "nat") == str(wanted)
    working()

    premises.operator.cli("healthcheck", "--ready")
    assert "dockerv6_" in _metrics(proc)

    premises.remove("www", "shop", "guest", "member")
    # one after another: the deletion of many resources at once is held back
    for name in ("web", "nat", "lan", "team"):
        premises.operator.remove_yaml(f"{name}.yaml")
        eventually(partial(_is_removed, engine, name), f"{name} is removed")
    eventually(lambda: premises.proxy_entries() == set(), "no NDP proxy entry is left")
    eventually(lambda: premises.sysctl("proxy_ndp") == "0", "the sysctl is restored")


def _is_removed(engine: Engine, name: str) -> bool:
    return network_id(engine, name) is None


def _metrics(proc: Path) -> str:
    socket = str(proc / "root/run/dockerv6/http.sock")
    return run(["curl", "--silent", "--fail", "--unix-socket", socket, "http://localhost/metrics"]).stdout


def _denials(log: str) -> list[str]:
    causes = ("not permitted", "ermission denied", "ead-only file system", "can't start new thread", "MemoryError")
    return [line for line in log.splitlines() if any(cause in line for cause in causes)]


def _without(capability: str) -> dict[str, str]:
    """The unit's capabilities except one, for `ServiceOperator.override`."""
    names = [name for name in _unit()["CapabilityBoundingSet"].split() if name != capability]
    # an empty assignment resets the list
    return {"CapabilityBoundingSet": "\nCapabilityBoundingSet=" + " ".join(names)}


def _doctor(service: ServiceOperator, capability: str) -> str:
    """What `dockerv6 doctor` reports without a capability."""
    dropped = capability.removeprefix("CAP_").lower()
    return service.exec("setpriv", f"--bounding-set=-{dropped}", "dockerv6", "doctor", check=False).stdout


@pytest.mark.parametrize("capability", ["CAP_NET_ADMIN", "CAP_NET_RAW"])
def test_missing_network_capability_is_reported(
    make_lab: Callable[..., Lab], make_service: Callable[[Lab], ServiceOperator], capability: str
) -> None:
    lab = make_lab(xtables="legacy")
    lab.engine.exec("ip6tables", "-P", "FORWARD", "DROP")
    service = make_service(lab)
    service.override(_without(capability))
    service.start()
    service.apply_yaml("blog.yaml", network_yaml("blog"))
    eventually(lambda: capability in str(condition(service, "blog", "Ready")), "the status names the capability")
    assert f"{capability} missing" in _doctor(service, capability)
    assert service.stop() == 0
    service.override({})
    service.start()
    service.wait_ready("ipv6network/blog")
    assert ping(lab.engine, lab.engine.run("client", "blog"), FAR_ADDRESS)


def test_file_of_another_user_needs_its_capability(lab: Lab, make_service: Callable[[Lab], ServiceOperator]) -> None:
    service = make_service(lab)
    service.override({"Environment": "DOCKERV6_TRUST_UID=65533"}, name="trust")
    service.override(_without("CAP_DAC_READ_SEARCH"))
    private = service.apply_yaml("blog.yaml", network_yaml("blog"))
    private.chmod(0o600)
    os.chown(private, 65533, 65533)
    service.apply_yaml("shop.yaml", network_yaml("shop"))
    service.start()
    service.wait_ready("ipv6network/shop")
    eventually(lambda: "CAP_DAC_READ_SEARCH" in service.log.read_text(), "the log names the capability")
    validated = service.exec(
        "setpriv",
        "--bounding-set=-dac_read_search,-dac_override",
        "dockerv6",
        "validate",
        "/etc/dockerv6.d",
        check=False,
    )
    assert "CAP_DAC_READ_SEARCH is missing" in validated.stdout + validated.stderr
    assert network_id(lab.engine, "blog") is None
    assert service.stop() == 0
    service.override({})
    service.start()
    service.wait_ready("ipv6network/blog")


def test_every_capability_of_the_unit_is_in_these_tests() -> None:
    assert set(_unit()["CapabilityBoundingSet"].split()) == set(_NUMBERS)
