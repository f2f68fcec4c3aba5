"""The spec of an IPv6Network that creates a Docker network like an existing one."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from ipaddress import IPv4Network, IPv6Address, IPv6Network

from dockerv6.api.errors import FieldError, InvalidObject, format_path
from dockerv6.api.kinds import GROUP, NETWORK
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.options import Driver
from dockerv6.api.scheme import decode
from dockerv6.dockerd.model import BRIDGE_NAME, Network, SubnetConfig
from dockerv6.lib.prefixes import first_address
from dockerv6.lib.text import small_number
from dockerv6.planning.docker.network_spec import ENGINE_OPTIONS, ICC, MTU
from dockerv6.planning.firewall.contributions import IPV6NAT_HOST_BINDING, icc_disabled
from dockerv6.planning.importing.model import ImportedResource, ImportNote
from dockerv6.planning.inputs import POLICY_LABEL

AnySubnet = IPv4Network | IPv6Network

COMPOSE_LABELS = "com.docker.compose."
"""The prefix of the labels by which Compose recognises what it created."""

_IPAM_DRIVER = "default"  # the engine's own
_ROUNDS = 20
_ESSENTIAL = frozenset({"networkName", "driver", "managementPolicy"})
"""Without these, a resource would mean another network."""


class NotManageableError(Exception):
    """No resource can describe the network. The message says why."""


def managed_spec(network: Network, notes: list[ImportNote]) -> dict[str, object]:
    """The fields of ``spec`` that create a network like this one. What has no field becomes a note."""
    spec: dict[str, object] = {}
    if network.driver != Driver.BRIDGE:
        spec["driver"] = network.driver
    if network.internal:
        spec["internal"] = True
    if network.attachable:
        spec["attachable"] = True
    if network.ipam_driver != _IPAM_DRIVER:
        text = f"{network.ipam_driver} is left out: the engine chooses the addresses of containers itself"
        notes.append(ImportNote("IPAM.Driver", text))
    spec |= _addressing(network, notes)
    spec |= _ipv4(network, notes)
    spec |= _options(network, notes)
    labels = {k: v for k, v in network.labels.items() if not _foreign_label(k)}
    notes += _label_notes(network)
    return {**spec, "labels": labels} if labels else spec


def accepted(name: str, spec: dict[str, object], notes: list[ImportNote]) -> tuple[ImportedResource, NetworkResource]:
    """The resource without the fields that dockerv6 does not accept, each of which becomes a note.

    Engines create networks that a resource can't describe: driver options that have no effect, subnets that are too
    large.

    Raises:
        NotManageableError: what is wrong is not the value of a field of ``spec``.
    """
    spec = deepcopy(spec)
    for _ in range(_ROUNDS):
        imported = ImportedResource(NETWORK, name, {key: value for key, value in spec.items() if value != {}})
        try:
            resource = decode(imported.document).resource
        except InvalidObject as error:
            notes += [_removed(spec, each) for each in error.errors]
        else:
            if isinstance(resource, NetworkResource):
                return imported, resource
    raise NotManageableError("it has too many fields that an IPv6Network does not accept")


def _removed(spec: dict[str, object], error: FieldError) -> ImportNote:
    """Remove the field of the error, or the nearest one around it."""
    top, *path = error.path or ("",)
    while top == "spec" and path and path[0] not in _ESSENTIAL:
        parent: object = spec
        for part in path[:-1]:
            parent = parent.get(part) if isinstance(parent, dict) else None
        if isinstance(parent, dict) and path[-1] in parent:
            value = parent.pop(path[-1])
            return ImportNote(format_path(("spec", *path)), f"{value} is left out: {error.message}")
        if parent is None or len(path) == 1 or isinstance(parent, dict):
            break
        path.pop()  # an item of a list: the list as a whole
    raise NotManageableError(str(error))


def _addressing(network: Network, notes: list[ImportNote]) -> Iterator[tuple[str, object]]:
    configs = {c.subnet: c for c in network.ipv6 if isinstance(c.subnet, IPv6Network) and not c.subnet.is_link_local}
    if not configs:
        return  # Compose leaves the subnet to the engine, and dockerv6 allocates one
    subnet, *others = configs
    first = configs[subnet]
    notes += [_left_out(other, "IPv6") for other in others]
    block: dict[str, object] = {"subnet": str(subnet)}
    if isinstance(first.gateway, IPv6Address) and first.gateway != first_address(subnet):
        block["gateway"] = str(first.gateway)
    if first.ip_range is not None:
        block["ipRange"] = str(first.ip_range)
    if first.aux_addresses:
        block["reserved"] = sorted(set(first.aux_addresses.values()))
        names = ", ".join(sorted(first.aux_addresses))
        notes.append(ImportNote("IPAM.Config.AuxiliaryAddresses", f"the addresses are kept, their names ({names}) not"))
    yield "addressing", block


def _ipv4(network: Network, notes: list[ImportNote]) -> Iterator[tuple[str, object]]:
    if not network.enable_ipv4:
        yield "ipv4", {"enabled": False}
        return
    configs = network.ipv4
    if not configs:
        return
    first, *others = configs
    notes += [_left_out(other.subnet, "IPv4") for other in others]
    yield "ipv4", {"subnet": str(first.subnet), **_ipv4_gateway(first)}
    for what, value in (("IPRange", first.ip_range), ("AuxiliaryAddresses", dict(first.aux_addresses))):
        if value:
            notes.append(ImportNote(f"IPAM.Config.{what}", f"{value} of IPv4 is left out: there is no field for it"))


def _left_out(subnet: AnySubnet, family: str) -> ImportNote:
    return ImportNote("IPAM.Config", f"{subnet} is left out: an IPv6Network has one {family} subnet")


def _ipv4_gateway(config: SubnetConfig) -> dict[str, object]:
    implied = config.gateway is None or config.gateway == config.subnet.network_address + 1
    return {} if implied else {"gateway": str(config.gateway)}


def _options(network: Network, notes: list[ImportNote]) -> Iterator[tuple[str, object]]:
    options = {k: v for k, v in network.options.items() if k not in ENGINE_OPTIONS}
    if network.driver == Driver.BRIDGE:
        bridge: dict[str, object] = {}
        if name := options.pop(BRIDGE_NAME, ""):
            bridge["name"] = name
        if mtu := options.pop(MTU, ""):
            number = small_number(mtu)
            bridge["mtu"] = mtu if number is None else number
        if ICC in options:
            if icc_disabled(network):
                bridge["icc"] = False
            del options[ICC]
        if bridge:
            yield "bridge", bridge
        if address := options.pop(IPV6NAT_HOST_BINDING, ""):
            yield from _host_binding(address, notes)
    if options:
        yield "options", options


def _host_binding(address: str, notes: list[ImportNote]) -> Iterator[tuple[str, object]]:
    try:
        yield "publish", {"hostAddress": str(IPv6Address(address))}
    except ValueError:
        notes.append(ImportNote(f"Options.{IPV6NAT_HOST_BINDING}", f"{address!r} is left out: it is no address"))


def _foreign_label(key: str) -> bool:
    return key.startswith((COMPOSE_LABELS, f"{GROUP}/"))


def _label_notes(network: Network) -> Iterator[ImportNote]:
    foreign: Mapping[str, str] = {k: v for k, v in network.labels.items() if _foreign_label(k)}
    for key in sorted(foreign):
        why = (
            "Compose would take the network for its own and remove it with the project"
            if key.startswith(COMPOSE_LABELS)
            else "no IPv6Policy applies to a network of dockerv6"
            if key == POLICY_LABEL
            else "dockerv6 writes these labels itself"
        )
        yield ImportNote(f"Labels.{key}", f"{foreign[key]} is left out: {why}")
