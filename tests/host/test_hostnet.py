"""The host port on network namespaces: what depends on the behaviour of the kernel."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockerv6.firewall.nftables import kernel
from dockerv6.hostnet.changes import ChangeFeed
from dockerv6.hostnet.linux import LinuxHostNet
from dockerv6.hostnet.model import ChangeKind, HostChange, RouteProtocol, interface_sysctl
from dockerv6.hostnet.sysctl import ra_disabled_by_forwarding, ra_interfaces
from dockerv6.lib import netlink
from tests.host.advertisements import add_wan_link, advertise_on
from tests.host.network import ip, nft, private_network

pytestmark = pytest.mark.host

PREFIX = IPv6Network("2001:db8:5::/64")
RULESET = 'table inet dockerv6 { chain c { counter comment "first"; counter comment "second"; }; }'


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    with private_network():
        yield


@pytest.fixture
async def host() -> AsyncIterator[LinuxHostNet]:
    made = LinuxHostNet()
    yield made
    await made.close()


async def subscribe(host: LinuxHostNet) -> AsyncIterator[HostChange]:
    changes = host.changes()
    assert await anext(changes) == HostChange(ChangeKind.LOST)
    return changes


def generation() -> int:
    """The generation of the ruleset, as the firewall reads it."""
    questions = kernel.NfTables()
    try:
        return questions.generation()
    finally:
        questions.close()


async def next_change(changes: AsyncIterator[HostChange], kind: ChangeKind, subject: str) -> HostChange:
    return await anext(aiter(change async for change in changes if (change.kind, change.subject) == (kind, subject)))


async def receive_advertisement(host: LinuxHostNet, changes: AsyncIterator[HostChange]) -> None:
    """Wait until wan0 has a default route and an address from the router at the other end of its wire."""
    async with asyncio.TaskGroup() as tasks:
        router = tasks.create_task(advertise_on("router0", PREFIX))
        while not (await addresses_of_wan0(host) and await default_routes(host)):
            await anext(changes)
        router.cancel()


async def addresses_of_wan0(host: LinuxHostNet) -> list[IPv6Network]:
    return [
        address.network
        for interface in await host.interfaces()
        if interface.name == "wan0" and interface.autoconfigured
        for address in interface.addresses
    ]


async def default_routes(host: LinuxHostNet) -> list[tuple[str | None, RouteProtocol]]:
    return [(route.interface, route.protocol) for route in await host.routes() if route.destination.prefixlen == 0]


@pytest.fixture
def _wire(_network: None) -> None:
    add_wan_link()


@pytest.mark.usefixtures("_wire")
async def test_an_interface_that_receives_advertisements_is_an_ra_interface(host: LinuxHostNet) -> None:
    await receive_advertisement(host, await subscribe(host))
    interfaces, routes = await host.interfaces(), await host.routes()
    assert ra_interfaces(interfaces, routes) == ("wan0",)
    assert await addresses_of_wan0(host) == [PREFIX]
    assert await default_routes(host) == [("wan0", RouteProtocol.RA)]
    accept_ra = {"wan0": await host.sysctl(interface_sysctl("wan0", "accept_ra"))}
    assert ra_disabled_by_forwarding(interfaces, routes, accept_ra) == ("wan0",)


@pytest.mark.usefixtures("_wire")
async def test_a_lifetime_from_a_dhcp_client_does_not_mean_autoconfigured(host: LinuxHostNet) -> None:
    ip("address", "add", "2001:db8:77::1/64", "dev", "wan0", "nodad", "valid_lft", "600", "preferred_lft", "600")
    (wan0,) = (i for i in await host.interfaces() if i.name == "wan0")
    assert wan0.addresses
    assert not wan0.autoconfigured


@pytest.mark.usefixtures("_wire")
async def test_forwarding_deletes_the_advertised_routes_and_keeps_the_address(host: LinuxHostNet) -> None:
    changes = await subscribe(host)
    await receive_advertisement(host, changes)
    await host.set_sysctl(interface_sysctl("all", "forwarding"), "1")
    assert RouteProtocol.RA not in {route.protocol for route in await host.routes()}
    assert ra_interfaces(await host.interfaces(), await host.routes()) == ("wan0",)
    await next_change(changes, ChangeKind.ROUTE, "wan0")


@pytest.mark.usefixtures("_wire")
async def test_with_accept_ra_2_routes_are_kept_and_advertisements_accepted(host: LinuxHostNet) -> None:
    changes = await subscribe(host)
    await receive_advertisement(host, changes)
    await host.set_sysctl(interface_sysctl("wan0", "accept_ra"), "2")
    before = await host.routes()
    await host.set_sysctl(interface_sysctl("all", "forwarding"), "1")
    assert await host.routes() == before
    ip("route", "delete", "default", "dev", "wan0")
    await receive_advertisement(host, changes)
    assert await default_routes(host) == [("wan0", RouteProtocol.RA)]


async def test_a_deleted_rule_is_reported(host: LinuxHostNet) -> None:
    nft(RULESET)
    changes = await subscribe(host)
    before = generation()
    nft("delete rule inet dockerv6 c handle 2")
    assert await anext(changes) == HostChange(ChangeKind.FIREWALL, "inet dockerv6", before + 1)


async def test_a_flushed_ruleset_is_one_change_for_each_table(host: LinuxHostNet) -> None:
    elements = ", ".join(f"2001:db8:{number:x}::/48" for number in range(1000))
    chains = "".join(
        f"add chain inet dockerv6 c{number}; add rule inet dockerv6 c{number} counter;" for number in range(500)
    )
    nft(
        "add table ip6 other; add table inet dockerv6;"
        "add set inet dockerv6 s { type ipv6_addr; flags interval; };"
        f"add element inet dockerv6 s {{ {elements} }}; {chains}"
    )
    changes = await subscribe(host)
    nft("flush ruleset")
    latest = generation()
    seen = {await anext(changes), await anext(changes)}
    assert seen == {
        HostChange(ChangeKind.FIREWALL, "inet dockerv6", latest),
        HostChange(ChangeKind.FIREWALL, "ip6 other", latest),
    }
    nft("add table inet marker")
    assert (await anext(changes)).subject == "inet marker"


async def test_a_refused_transaction_is_not_reported(host: LinuxHostNet) -> None:
    nft(RULESET)
    changes = await subscribe(host)
    before = generation()
    nft("delete rule inet dockerv6 c handle 2; delete rule inet dockerv6 c handle 99", refused=True)
    assert generation() == before
    nft("add table inet marker")
    assert (await anext(changes)).subject == "inet marker"


async def test_a_burst_is_one_change_for_each_interface_and_kind(host: LinuxHostNet) -> None:
    ip("link", "add", "br0", "type", "bridge")
    changes = await subscribe(host)
    ip(batch="link set br0 up\nlink set br0 down\n" * 15 + "link add marker0 type bridge\n")
    seen = [await anext(changes)]
    while seen[-1] != HostChange(ChangeKind.LINK, "marker0"):
        seen.append(await anext(changes))
    assert seen.count(HostChange(ChangeKind.LINK, "br0")) == 1
    assert len(seen) == len(set(seen))


async def test_an_overflow_is_reported_as_lost_and_later_changes_are_reported() -> None:
    feed = ChangeFeed(receive_buffer=2048)
    try:
        assert await feed.take() == HostChange(ChangeKind.LOST)
        for number in range(50):
            nft(f"add table inet t{number}; add chain inet t{number} c; add chain inet t{number} d")
        # LOST replaces what was received before the overflow.
        assert await feed.take() == HostChange(ChangeKind.LOST)
        nft("add table inet afterwards")
        change = await feed.take()
        while change is not None and change.subject != "inet afterwards":
            change = await feed.take()
        assert change == HostChange(ChangeKind.FIREWALL, "inet afterwards", 52)
    finally:
        feed.close()


async def test_cancelling_a_subscriber_closes_its_sockets(host: LinuxHostNet) -> None:
    subscribed = asyncio.Event()

    async def read_on() -> None:
        async for _ in host.changes():
            subscribed.set()

    reader = asyncio.create_task(read_on())
    await subscribed.wait()
    (feed,) = host._feeds
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert host._feeds == set()
    assert feed._routing_socket.fileno() == feed._firewall_socket.fileno() == -1


async def test_a_name_with_a_dot_and_the_master_are_listed(host: LinuxHostNet) -> None:
    ip("link", "add", "br0", "type", "bridge")
    ip("link", "add", "eth0.100", "type", "veth", "peer", "name", "far0")
    ip("link", "set", "eth0.100", "master", "br0")
    found = {interface.name: interface for interface in await host.interfaces()}
    assert found["eth0.100"].master == found["br0"].index
    assert (found["eth0.100"].kind, found["far0"].master) == ("veth", None)
    assert await host.sysctl(interface_sysctl("eth0.100", "accept_ra")) == "1"


async def test_a_dump_of_several_datagrams_is_complete(host: LinuxHostNet) -> None:
    names = [f"b{number}" for number in range(300)]
    ip(batch="".join(f"link add {name} type bridge\n" for name in names))
    assert {interface.name for interface in await host.interfaces()} >= set(names)


def test_an_error_of_the_kernel_is_raised_with_its_errno() -> None:
    with pytest.raises(OSError, match="Operation not supported"):
        netlink.dump(netlink.NETLINK_ROUTE, 9998, IPv6Address("::").packed)


REFUSED = """
import asyncio, os, sys
from ipaddress import IPv6Address
from dockerv6.hostnet.linux import LinuxHostNet
from dockerv6.hostnet.port import HostNetPermissionError

async def main():
    host = LinuxHostNet()
    write = host.set_sysctl("net.ipv6.conf.all.forwarding", "1")
    delete = host.delete_udp_flows([53], [IPv6Address("::1")])
    add = host.add_proxy_neighbour("lo", IPv6Address("2001:db8::1"))
    for attempt in (write, anext(host.changes()), delete, add):
        try:
            await attempt
        except HostNetPermissionError as error:
            print(error)
        else:
            print("permitted")
    await host.close()

os.setresuid(*3 * [int(sys.argv[1])])
asyncio.run(main())
"""


def errors_of(*wrapper: str, user: int = 0) -> list[str]:
    command = [*wrapper, sys.executable, "-c", REFUSED, str(user)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_errors_for_root_without_the_capability_name_it() -> None:
    written, subscribed, deleted, added = errors_of(
        "setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"
    )
    assert written == "permitted"  # root owns the file
    assert "cannot subscribe to changes: Operation not permitted; CAP_NET_ADMIN is missing" in subscribed
    assert "cannot delete conntrack entries: Operation not permitted; CAP_NET_ADMIN is missing" in deleted
    assert (
        "cannot add an NDP proxy entry for 2001:db8::1 to lo: Operation not permitted; CAP_NET_ADMIN is missing"
        in added
    )


def test_errors_for_other_users_say_run_as_root() -> None:
    lines = errors_of(user=65534)
    assert len(lines) == 4
    assert all(line.endswith("; run as root") for line in lines)


def test_errors_of_a_read_only_proc_sys_name_the_mount() -> None:
    script = 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"'
    written, *others = errors_of("unshare", "--mount", "sh", "-c", script, "sh")
    assert "cannot set sysctl net/ipv6/conf/all/forwarding to '1': Read-only file system" in written
    assert "/proc/sys is mounted read-only" in written
    assert others == ["permitted"] * 3
