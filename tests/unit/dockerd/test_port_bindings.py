from ipaddress import IPv4Address, IPv6Address

import pytest

from dockerv6.dockerd.model import PortBinding
from dockerv6.dockerd.port import EngineApiError
from dockerv6.dockerd.port_bindings import RequestedPort, is_ambiguous, marked, requested

ANY4, ANY6, ONE = IPv4Address("0.0.0.0"), IPv6Address("::"), IPv4Address("192.0.2.1")


def bound(port: int, at: IPv4Address | IPv6Address = ANY4, inside: int = 80) -> PortBinding:
    return PortBinding("tcp", inside, port, at)


@pytest.mark.parametrize(
    ("bindings", "ambiguous"),
    [
        ((), False),
        ((bound(1), bound(1, ANY6)), False),
        ((bound(1), bound(2, ANY6)), False),  # 20.10 with the proxy off chooses two random ports
        ((bound(1, ANY6), bound(1, ONE)), False),
        ((bound(1),), True),
        ((bound(1), bound(1, ANY6), bound(2)), True),
        ((bound(1), bound(1, ANY6, inside=81)), True),
    ],
)
def test_only_ipv4_without_ipv6_is_ambiguous(bindings: tuple[PortBinding, ...], *, ambiguous: bool) -> None:
    assert is_ambiguous(bindings) is ambiguous


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ([("0.0.0.0", "8080")], True),
        ([("", "8080")], False),
        ([("", "")], False),
        ([("", "8000-8100")], False),
        ([("", "9000-9100"), ("0.0.0.0", "8080")], True),
        ([("", "8080"), ("0.0.0.0", "8080")], False),
        ([("192.0.2.1", "8080"), ("0.0.0.0", "")], True),
        ([], False),  # docker run -P
    ],
)
def test_an_address_is_written_where_no_request_without_one_explains_the_binding(
    asked: list[tuple[str, str]], *, written: bool
) -> None:
    requests = [RequestedPort("tcp", 80, address, ports) for address, ports in asked]
    requests += [RequestedPort("udp", 80, ""), RequestedPort("tcp", 81, "")]
    assert [b.ipv4_only for b in marked((bound(8080), bound(8080, ONE)), requests)] == [written, False]


def test_what_can_not_be_read_opens_nothing() -> None:
    assert marked((bound(8080),), None)[0].ipv4_only


def test_requests_are_read_from_an_inspected_container() -> None:
    bindings: dict[str, object] = {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "", "HostPort": ""}],
        "53/udp": None,
        "x/tcp": [{}],
        "9" * 5000: [{}],
    }
    assert requested({"Id": "a", "HostConfig": {"PortBindings": bindings}}) == (
        RequestedPort("tcp", 80, "0.0.0.0", "8080"),
        RequestedPort("tcp", 80, ""),
    )
    assert requested({"Id": "a"}) == ()
    with pytest.raises(EngineApiError):
        requested([])
