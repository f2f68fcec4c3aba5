"""Networks of a pool whose prefix changes, for the tests of renumbering."""

from ipaddress import IPv6Address, IPv6Network
from typing import Any

from dockerv6.dockerd.model import Attachment, Network
from tests.simulation.resources import network, pool
from tests.world import Bench, Host

OLD, NEW, NEXT = "2001:db8:a00::/56", "2001:db8:b00::/56", "2001:db8:c00::/56"
READY = ("True", "ReconcileSucceeded")
NAMES = ("a", "b", "c")


def drawing(name: str, **spec: Any) -> Any:
    return network(name, **{"updateStrategy": "Recreate", "addressing": {"poolRef": {"name": "isp"}}, **spec})


async def populated(**spec: Any) -> Bench:
    """Networks of a pool, each with three containers: dynamic, dynamic, and one with an address of its own."""
    host = Host()
    bench = await host.bench(pool("isp", prefix=OLD, **spec.pop("pool", {})), *(drawing(n, **spec) for n in NAMES))
    for name in NAMES:
        await bench.reconcile(name)
        for container in ("x", "y", "z"):
            static = IPv6Address(int((await subnet(host, name)).network_address) + 0x53) if container == "z" else None
            attachment = Attachment("", "", running=True, aliases=(f"alias-{container}",), static_ipv6=static)
            host.engine.run_container(f"{container}-{name}", name, attachment)
    bench.invalidate_all()
    for name in NAMES:
        assert await bench.reconcile(name) is None
    host.engine.calls.clear()
    return bench


async def moved(bench: Bench, prefix: str = NEW, **spec: Any) -> None:
    await bench.accept(pool("isp", prefix=prefix, **spec))
    bench.invalidate_all()


async def there(host: Host, name: str) -> Network:
    found = await host.docker(name)
    assert found is not None
    return found


async def subnet(host: Host, name: str) -> IPv6Network:
    return next(c.subnet for c in (await there(host, name)).ipv6 if isinstance(c.subnet, IPv6Network))


async def ends(host: Host, name: str) -> dict[str, tuple[int, tuple[str, ...]]]:
    """The part of each container's address that stays, and its aliases."""
    mask = 2**64 - 1
    return {
        a.container_name: (int(a.ipv6 or 0) & mask, a.aliases)
        for a in await host.engine.attachments((await there(host, name)).id)
    }
