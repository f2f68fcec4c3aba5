from __future__ import annotations

import pytest

from dockerv6.dockerd import api_errors
from dockerv6.dockerd.api_errors import AmbiguousName, ApiVersionRejected, EndpointExists, NotConnected
from dockerv6.dockerd.port import (
    ContainerNotFound,
    EngineApiError,
    EngineConflict,
    EngineUnavailable,
    NetworkNotFound,
)

ID = "7e4aa139b970d2516e0b4a723b062ef60a3f503f71e68630c231da9bdbb16e71"


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        # as sent by engines 20.10, 26.1 and 28.5
        (404, "network deadbeef not found", NetworkNotFound),
        (404, "network a b/c not found", NetworkNotFound),
        (404, "No such container: nope", ContainerNotFound),
        (404, "endpoint nope not found", ContainerNotFound),
        (404, 'plugin "nosuch" not found', EngineApiError),
        (404, "could not find an available, non-overlapping IPv4 address pool among the defaults", EngineConflict),
        (400, "all predefined address pools have been fully subnetted", EngineConflict),
        (409, "network with name n1 already exists", EngineConflict),
        (403, f"error while removing network: network n1 id {ID} has active endpoints", EngineConflict),
        (403, 'network n1 has active endpoints (name:"c1" id:"ba1dc901a306")', EngineConflict),
        (403, "Pool overlaps with other one on this address space", EngineConflict),
        (500, "driver failed: Bind for 0.0.0.0:8080 failed: port is already allocated", EngineConflict),
        (400, "container sharing network namespace with another container or host cannot be connected", EngineApiError),
        (403, "invalid pool request: Pool overlaps with other one on this address space", EngineConflict),
        (403, "Address already in use", EngineConflict),
        (403, "endpoint with name c1 already exists in network n1", EndpointExists),
        (403, f"cannot create network {ID} (b): conflicts with network {ID} (b): networks have same bridge name",
         EngineConflict),
        (403, "bridge is a pre-defined network and cannot be removed", EngineApiError),
        (403, "operation is not permitted on predefined host network ", EngineApiError),
        (500, "Invalid address 2001:db8:2::99: It does not belong to any of this network's subnets", EngineApiError),
        (500, f"container {ID} is not connected to network n1", NotConnected),
        (500, "container x is not connected to the network n1", NotConnected),
        (400, "client version 1.99 is too new. Maximum supported API version is 1.51", ApiVersionRejected),
        (400, "client version 1.10 is too old. Minimum supported API version is 1.24", ApiVersionRejected),
        (400, "network n1 is ambiguous (2 matches found on name)", AmbiguousName),
        (503, "This node is not a swarm manager.", EngineApiError),
    ],
)  # fmt: skip
def test_maps_messages_to_exceptions(status: int, message: str, kind: type[EngineApiError]) -> None:
    error = api_errors.from_response(status, message)
    assert type(error) is kind
    assert isinstance(error, EngineApiError)
    assert error.status == status
    assert str(error).endswith(f". Docker says: {api_errors.one_line(message)}")


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_error_of_a_proxy_is_unavailable(status: int) -> None:
    error = api_errors.from_response(status, "<html>Bad gateway</html>", from_engine=False)
    assert isinstance(error, EngineUnavailable)


def test_joins_the_lines_of_a_message() -> None:
    message = "invalid endpoint settings:\n* invalid IPv6 address: bogus\n* no configured subnet contains bogus"
    assert api_errors.one_line(message) == (
        "invalid endpoint settings: invalid IPv6 address: bogus; no configured subnet contains bogus"
    )


def test_removes_grpc_prefixes_and_shortens_ids() -> None:
    assert api_errors.one_line("rpc error: code = Unknown desc = no space\n") == "no space"
    assert api_errors.one_line(f"network {ID} not found") == "network 7e4aa139b970 not found"


def test_an_empty_message_has_a_placeholder() -> None:
    assert str(api_errors.from_response(500, " \n")).endswith(". Docker says: no reason given")
