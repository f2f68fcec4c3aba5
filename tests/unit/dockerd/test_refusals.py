"""Every text has a cause and a remedy in the terms of a resource, and the engine's words come once and last."""

from __future__ import annotations

import pytest

from dockerv6.api.conditions import Reason
from dockerv6.dockerd import api_errors, refusals
from dockerv6.dockerd.port import EngineApiError

ID = "7e4aa139b970d2516e0b4a723b062ef60a3f503f71e68630c231da9bdbb16e71"
FLUSHED = (
    "Failed to Setup IP tables: Unable to enable SKIP DNAT rule:  (iptables failed: iptables --wait -t nat -I DOCKER"
    " -i br-03dace18473b -j RETURN: iptables: No chain/target/match by that name.\n (exit status 1))"
)
FLUSHED_PORT = (
    f"driver failed programming external connectivity on endpoint web ({ID}):  (iptables failed: iptables --wait -t nat"
    " -A DOCKER -p tcp -d 0/0 --dport 8080 -j DNAT --to-destination 172.18.0.2:80 ! -i v6-blog: iptables: No"
    " chain/target/match by that name.\n (exit status 1))"
)


@pytest.mark.parametrize(
    ("message", "reason", "remedy"),
    [
        # measured with 20.10 and 28.5 after `nft flush ruleset`
        (FLUSHED, Reason.ENGINE_CHAINS_MISSING, "systemctl restart docker"),
        (FLUSHED_PORT, Reason.ENGINE_CHAINS_MISSING, "systemctl restart docker"),
        ("could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
         Reason.IPV4_POOLS_EXHAUSTED, "spec.ipv4.subnet"),
        ("all predefined address pools have been fully subnetted", Reason.IPV4_POOLS_EXHAUSTED,
         "default-address-pools"),
        (f"cannot create network {ID} (br-1): conflicts with network {ID} (br-2): networks have overlapping IPv4",
         Reason.SUBNET_OVERLAP, "spec.ipv4.subnet"),
        (f"cannot create network {ID} (b): conflicts with network {ID} (b): networks have same bridge name",
         Reason.NAME_CONFLICT, "spec.bridge.name"),
        ("existing interface eth0 is not a bridge", Reason.NAME_CONFLICT, "spec.bridge.name"),
        ("invalid pool request: Pool overlaps with other one on this address space", Reason.SUBNET_OVERLAP,
         "addressing.subnet"),
        ("network with name blog already exists", Reason.NAME_CONFLICT, "docker network rm blog"),
        ("endpoint with name web already exists in network blog", Reason.NAME_CONFLICT,
         "docker network disconnect --force blog web"),
        (("driver failed programming external connectivity on endpoint web: Bind for 0.0.0.0:8080 failed: port is"
         " already allocated"), Reason.PORT_TAKEN, "ss -lntup"),
        (("failed to set up container networking: driver failed programming external connectivity on endpoint web:"
         " failed to bind host port for 0.0.0.0:8080:172.18.0.2:80/tcp: address already in use"), Reason.PORT_TAKEN,
         "ss -lntup"),
        ("Address already in use", Reason.ADDRESS_IN_USE, "ipv6_address"),
        ("failed to allocate gateway (fd00::1): Address already in use", Reason.ADDRESS_IN_USE, "addressing.gateway"),
        ("no available IPv4 addresses on this network's address pools: blog", Reason.SUBNET_EXHAUSTED,
         "addressing.ipRange"),
        ("Invalid address 2001:db8::99: It does not belong to any of this network's subnets",
         Reason.ADDRESS_OUT_OF_RANGE, "--ip6"),
        ("user specified IP address is supported only when connecting to networks with user configured subnets",
         Reason.ADDRESS_OUT_OF_RANGE, "spec.ipv4.subnet"),
        ("failed to allocate gateway (): invalid bit range [0, 18446744073709551615)", Reason.ENGINE_TOO_OLD,
         "addressing.ipRange"),
        ("container sharing network namespace with another container or host cannot be connected to any other network",
         Reason.MEMBER_REFUSED, "attach the container whose network it shares"),
        ("adding interface veth1 to bridge br-1 failed: exchange full", Reason.SUBNET_EXHAUSTED, "another network"),
        ("cannot restrict inter-container communication: please ensure that br_netfilter kernel module is loaded",
         Reason.HOST_NOT_READY, "modprobe br_netfilter"),
        ("IPv4 forwarding is disabled: check your host's firewalling and set sysctl net.ipv4.ip_forward=1",
         Reason.HOST_NOT_READY, "sysctl -w net.ipv4.ip_forward=1"),
        ("-o parent interface was not found on the host: eth9", Reason.PARENT_NOT_READY, "ip -d link"),
        ("mkdir /var/lib/docker/network: no space left on device", Reason.HOST_NOT_READY, "docker system prune"),
        ("authorization denied by plugin opa: not today", Reason.ENGINE_DENIED, "plugin"),
        ("failed to parse com.docker.network.bridge.gateway_mode_ipv6 value: bogus (unknown gateway mode bogus)",
         Reason.INVALID_SPEC, "spec.options"),
        ("Failed to Setup IP tables: something new", Reason.FIREWALL_UNAVAILABLE, "journalctl --unit docker"),
        ("driver failed programming external connectivity on endpoint web: something new", Reason.APPLY_FAILED,
         "journalctl --unit docker"),
    ],
)  # fmt: skip
def test_names_cause_and_remedy_before_the_engines_words(message: str, reason: Reason, remedy: str) -> None:
    error = api_errors.from_response(500, message)
    assert isinstance(error, EngineApiError)
    assert error.reason == reason
    assert remedy in error.explanation
    raw = api_errors.one_line(message)
    assert str(error) == f"{error.explanation}. Docker says: {raw}"
    assert raw not in error.explanation
    assert "HTTP" not in str(error)


def test_a_text_that_is_not_known_is_shown_with_the_place_of_the_engines_log() -> None:
    error = api_errors.from_response(500, "the moon is in the wrong phase")
    assert isinstance(error, EngineApiError)
    assert (error.reason, refusals.explain(error.message)) == ("", None)
    assert str(error) == (
        "the Docker Engine refuses it; its log may say why (`journalctl --unit docker`). Docker says: the moon is in"
        " the wrong phase"
    )


def test_a_message_of_our_own_is_not_the_engines() -> None:
    assert str(EngineApiError("/run/docker.sock is not a Docker Engine")) == "/run/docker.sock is not a Docker Engine"


def test_every_cause_and_remedy_can_be_written() -> None:
    for refusal in refusals.CATALOGUE:
        assert refusal.reason in list(Reason)
        words = dict.fromkeys(refusal.pattern.groupindex, "x")
        assert refusal.cause.format(**words)
        assert refusal.remedy.format(**words)
