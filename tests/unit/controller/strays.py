"""Docker networks with the labels of dockerv6 that no resource asks for."""

from ipaddress import IPv6Network

from dockerv6.controller.inventory import CREATED
from dockerv6.dockerd.model import NetworkSpec, SubnetConfig
from tests.world import Bench, Host

LABELS = {"dockerv6.io/managed-by": "dockerv6"}


async def stray(at: Host, name: str, *, created: bool = True) -> str:
    """A network with our labels that no resource asks for. ``created``: by this installation."""
    number = len(await at.engine.networks())
    ipam = (SubnetConfig(IPv6Network(f"fd00:{number:x}::/64")),)
    spec = NetworkSpec(name, ipam=ipam, labels={**LABELS, "dockerv6.io/name": name})
    network_id = await at.engine.create_network(spec)
    if created:
        await at.store.put_record(CREATED, network_id, {"name": name})
    return network_id


async def swept(at: Host) -> Bench:
    bench = await at.bench()
    await bench.accept()
    bench.invalidate_all()
    return bench
