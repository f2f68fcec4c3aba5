"""Networks on their way from one shape to another: how each was before, durably, so that there is a way back.

Whoever has a record here is in transit; it is dropped when the network is as it should be, or as it was.
"""

from collections.abc import Mapping
from ipaddress import IPv6Network, ip_address, ip_network

from dockerv6.dockerd.model import NetworkSpec, SubnetConfig
from dockerv6.planning.docker.rollback import PreviousNetwork
from dockerv6.store.port import Store

RECREATIONS = "former"


class InFlightRecreations:
    """Who is in transit, by pool; at most so many of one pool at the same time."""

    def __init__(self, store: Store) -> None:
        """Know of nobody yet."""
        self._store = store
        self._pools: dict[str, str] = {}
        self._refused: dict[str, tuple[str, str]] = {}

    async def load(self) -> None:
        """Take up those that were in transit when the operator ended."""
        self._pools = {
            name: str(each.get("pool", "")) for name, each in (await self._store.records(RECREATIONS)).items()
        }

    def others(self, pool: str, name: str) -> tuple[str, ...]:
        """Who else of that pool is in transit."""
        return tuple(sorted(each for each, of in self._pools.items() if of == pool and each != name))

    def claim(self, name: str, pool: str) -> None:
        """It is about to begin: nobody else may take its place between the plan and its first step."""
        self._pools[name] = pool

    async def remember(self, name: str, former: PreviousNetwork) -> None:
        """Write down how it was, unless it is on its way already: that is how it was before."""
        if await self._store.record(RECREATIONS, name) is None:
            await self._store.put_record(RECREATIONS, name, _to_json(former))
        self._pools[name] = former.pool

    async def former(self, name: str) -> PreviousNetwork | None:
        """How the network was."""
        record = await self._store.record(RECREATIONS, name)
        return _from_json(record) if record is not None else None

    async def complete(self, name: str) -> str | None:
        """It is as it should be, or as it was; gives the pool whose others may go on, None: it was not on its way."""
        pool = self._pools.get(name)
        if pool is not None:
            await self._store.drop_record(RECREATIONS, name)
            self._pools.pop(name, None)
        return pool

    def refuse(self, name: str, fingerprint: str, why: str) -> None:
        """That wish could not be carried out: it is not tried again."""
        self._refused[name] = (fingerprint, why)

    def refused(self, name: str) -> tuple[str, str]:
        """Which wish was refused last, and why; empty: none."""
        return self._refused.get(name, ("", ""))

    def forget(self, name: str) -> None:
        """The resource is gone."""
        self._refused.pop(name, None)


def _to_json(former: PreviousNetwork) -> dict[str, object]:
    spec = former.spec
    return {
        "pool": former.pool,
        "subnet": str(former.subnet),
        "name": spec.name,
        "driver": spec.driver,
        "internal": spec.internal,
        "attachable": spec.attachable,
        "enableIpv4": spec.enable_ipv4,
        "enableIpv6": spec.enable_ipv6,
        "options": dict(spec.options),
        "labels": dict(spec.labels),
        "ipam": [
            {
                "subnet": str(c.subnet),
                "gateway": str(c.gateway) if c.gateway is not None else None,
                "ipRange": str(c.ip_range) if c.ip_range is not None else None,
                "auxAddresses": dict(c.aux_addresses),
            }
            for c in spec.ipam
        ],
    }


def _from_json(record: Mapping[str, object]) -> PreviousNetwork | None:
    """None: it was damaged."""
    ipam = record.get("ipam")
    try:
        spec = NetworkSpec(
            name=str(record["name"]),
            driver=str(record["driver"]),
            internal=record["internal"] is True,
            attachable=record["attachable"] is True,
            enable_ipv4=record["enableIpv4"] is True,
            enable_ipv6=record["enableIpv6"] is True,
            ipam=tuple(_subnet(c) for c in ipam if isinstance(c, Mapping)) if isinstance(ipam, list) else (),
            options=_texts(record.get("options")),
            labels=_texts(record.get("labels")),
        )
        return PreviousNetwork(spec, IPv6Network(str(record["subnet"])), str(record["pool"]))
    except (KeyError, ValueError):
        return None


def _subnet(config: Mapping[str, object]) -> SubnetConfig:
    gateway, ip_range = config.get("gateway"), config.get("ipRange")
    return SubnetConfig(
        ip_network(str(config["subnet"])),
        ip_address(str(gateway)) if gateway is not None else None,
        ip_network(str(ip_range)) if ip_range is not None else None,
        _texts(config.get("auxAddresses")),
    )


def _texts(value: object) -> dict[str, str]:
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, Mapping) else {}
