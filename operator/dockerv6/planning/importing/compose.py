"""From a Compose file to the Docker networks that Compose creates for it.

Exact for the output of ``docker compose config``, where Compose has resolved everything. In a plain file, what only
Compose can resolve (interpolation, ``extends``, ``include``) is refused. Source: the Compose Specification
(https://github.com/compose-spec/compose-spec) and compose-go, loader/normalize.go.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeVar

from dockerv6.api.errors import FieldError, FieldPath, did_you_mean
from dockerv6.api.values import quote
from dockerv6.dockerd.model import COMPOSE_PROJECT, Network, SubnetConfig
from dockerv6.planning.importing.model import ImportNote
from dockerv6.planning.importing.networks import port_note

T = TypeVar("T")

RESOLVE = "run `docker compose config > resolved.yaml`, and import resolved.yaml"
_COMPOSE_NETWORK = "com.docker.compose.network"
_FIELDS = frozenset(
    {
        *("attachable", "driver", "driver_opts", "enable_ipv4", "enable_ipv6", "external", "internal", "ipam"),
        *("labels", "name"),
    }
)
_NOT_IN_PROJECT = re.compile(r"[^-_a-z0-9]")
_DOLLAR = re.compile(r"\$(\$?)")
_HOST_PORT_PARTS = 3  # address:published:target
_MAX_ERRORS = 100


class ComposeError(Exception):
    """A Compose file can't be imported. ``errors`` has at least one entry."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class ComposeProject:
    """A project and the networks that Compose creates for it.

    Attributes:
        name: of the project.
        networks: as an engine would list them, but without an id, and without what the engine chooses.
        skipped: why others get no resource, by their Docker name.
        notes: on what a network has beside its fields, by its Docker name.
    """

    name: str
    networks: tuple[Network, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, tuple[ImportNote, ...]] = field(default_factory=dict)


def read_project(document: object, directory: str, project: str = "") -> ComposeProject:
    """The project of a Compose file.

    Args:
        document: as the YAML parser gives it.
        directory: the name of the file's directory, the default of the project's name.
        project: the project's name (``docker compose --project-name``); "": that of the file.

    Raises:
        ComposeError: it is not a Compose file, or it needs Compose to be understood.
    """
    reader = _ComposeReader([])
    found = reader.project(document, directory, project)
    if reader.errors:
        raise ComposeError(tuple(reader.errors[:_MAX_ERRORS]))
    return found


def project_name(directory: str) -> str:
    """The name that Compose gives to a project in a directory; "": it gives none."""
    return _NOT_IN_PROJECT.sub("", directory.lower()).lstrip("_-")


@dataclass(slots=True)
class _ComposeReader:
    """Reads one file, and collects errors."""

    errors: list[FieldError]

    def project(self, document: object, directory: str, given: str) -> ComposeProject:
        if not isinstance(document, Mapping):
            self._error((), f"a Compose file is a mapping, not {quote(document)}", "name a Compose file")
            return ComposeProject("")
        if "services" not in document and "networks" not in document and "include" not in document:
            self._error((), "this is no Compose file: it has neither services nor networks", "name a Compose file")
            return ComposeProject("")
        if "include" in document:
            self._error(("include",), "the included files may have networks, and are not read", RESOLVE)
        services = self._mapping(document.get("services"), ("services",))
        declared = self._mapping(document.get("networks"), ("networks",))
        name = given or self._text(document.get("name"), ("name",)) or project_name(directory)
        if not name:
            self._error((), "the project has no name", "write name: at the top of the file, or give --project")
        users = self._users(services)
        for key in users.keys() - declared.keys() - {"default"}:
            for service in users[key]:
                message = f"{key!r} is not a network of this file; {did_you_mean(key, map(str, declared))}"
                self._error(("services", service, "networks"), message, "declare it below networks")
        networks: list[Network] = []
        skipped: dict[str, str] = {}
        notes: dict[str, tuple[ImportNote, ...]] = {}
        for key in [*declared, *({"default"} & users.keys() - declared.keys())]:
            entry = self._mapping(declared.get(key), ("networks", key))
            network, external = self._network(key, entry, name)
            if external:
                skipped[network.name] = (
                    f"the file does not create it (external); import it from the engine: dockerv6 import {network.name}"
                )
            elif key not in users:
                skipped[network.name] = "no service uses it, so Compose does not create it"
            else:
                networks.append(network)
                notes[network.name] = tuple(self._notes(network, users[key], services))
        return ComposeProject(name, tuple(networks), skipped, notes)

    def _users(self, services: Mapping[str, object]) -> dict[str, list[str]]:
        """The services on each network."""
        users: dict[str, list[str]] = {}
        for name, entry in services.items():
            path = ("services", name)
            service = self._mapping(entry, path)
            if "extends" in service:
                self._error((*path, "extends"), "the extended service may have networks, and is not read", RESOLVE)
            if service.get("provider") is not None:  # another program runs it
                continue
            if service.get("network_mode") is not None:
                self._text(service["network_mode"], (*path, "network_mode"))
                continue
            wanted = service.get("networks")
            if wanted is None or wanted in ([], {}):
                keys = ["default"]
            elif isinstance(wanted, Mapping):
                keys = list(wanted)
            elif isinstance(wanted, list):
                keys = [self._text(each, (*path, "networks", index)) for index, each in enumerate(wanted)]
            else:
                keys = []
                self._error((*path, "networks"), f"must be a list or a mapping, not {quote(wanted)}", "correct it")
            for key in keys:
                users.setdefault(key, []).append(name)
        return users

    def _network(self, key: str, entry: Mapping[str, object], project: str) -> tuple[Network, bool]:
        path: FieldPath = ("networks", key)
        for unknown in entry.keys() - _FIELDS:
            if not unknown.startswith("x-"):
                message = f"Compose has no field {unknown!r} for networks"
                self._error((*path, unknown), message, did_you_mean(unknown, sorted(_FIELDS)))
        external = entry.get("external")
        name = self._text(entry.get("name"), (*path, "name"))
        if isinstance(external, Mapping):  # file format 2 and 3.0 to 3.4
            name = name or self._text(external.get("name"), (*path, "external", "name"))
            external = True
        is_external = self._flag(external, (*path, "external"), default=False)
        if not name:
            name = key if is_external else f"{project}_{key}"
        labels = {
            **self._labels(entry.get("labels"), (*path, "labels")),
            **({COMPOSE_PROJECT: project, _COMPOSE_NETWORK: key} if project else {}),
        }
        network = Network(
            id="",
            name=name,
            driver=self._text(entry.get("driver"), (*path, "driver")) or "bridge",
            internal=self._flag(entry.get("internal"), (*path, "internal"), default=False),
            attachable=self._flag(entry.get("attachable"), (*path, "attachable"), default=False),
            enable_ipv4=self._flag(entry.get("enable_ipv4"), (*path, "enable_ipv4"), default=True),
            enable_ipv6=self._flag(entry.get("enable_ipv6"), (*path, "enable_ipv6"), default=False),
            ipam=self._ipam(self._mapping(entry.get("ipam"), (*path, "ipam")), (*path, "ipam")),
            options=self._texts(entry.get("driver_opts"), (*path, "driver_opts")),
            labels=labels,
        )
        return network, is_external

    def _ipam(self, ipam: Mapping[str, object], path: FieldPath) -> tuple[SubnetConfig, ...]:
        driver = self._text(ipam.get("driver"), (*path, "driver"))
        if driver not in {"", "default"}:
            message = f"addresses come from the plugin {driver}, whose subnets dockerv6 does not know"
            self._error((*path, "driver"), message, "create the network, and import it from the engine")
        config = ipam.get("config") or []
        if not isinstance(config, list):
            self._error((*path, "config"), f"must be a list, not {quote(config)}", "write - subnet: …")
            return ()
        found = (self._subnet(each, (*path, "config", index)) for index, each in enumerate(config))
        return tuple(sorted((each for each in found if each is not None), key=lambda each: each.subnet.version))

    def _subnet(self, entry: object, path: FieldPath) -> SubnetConfig | None:
        config = self._mapping(entry, path)
        subnet = self._parsed(config, "subnet", path, _prefix)
        if subnet is None:
            return None  # the engine chooses
        gateway, part = (
            self._parsed(config, "gateway", path, ip_address),
            self._parsed(config, "ip_range", path, _prefix),
        )
        return SubnetConfig(subnet, gateway, part, self._texts(config.get("aux_addresses"), (*path, "aux_addresses")))

    def _parsed(self, config: Mapping[str, object], key: str, path: FieldPath, parse: Callable[[str], T]) -> T | None:
        text = self._text(config.get(key), (*path, key))
        try:
            return parse(text) if text else None
        except ValueError as error:
            self._error((*path, key), str(error), "write a subnet such as fd12:3456:789a:1::/64, and addresses in it")
            return None

    def _notes(self, network: Network, users: list[str], services: Mapping[str, object]) -> Iterator[ImportNote]:
        """What services have that concerns the network."""
        profiled = [user for user in users if isinstance(entry := services[user], Mapping) and entry.get("profiles")]
        if profiled and len(profiled) == len(users):
            yield ImportNote("", f"Compose creates it only with a profile of {', '.join(sorted(profiled))}")
        if not network.enable_ipv6 and any(each.subnet.version == 6 for each in network.ipam):  # noqa: PLR2004
            yield ImportNote("enable_ipv6", "is not set, so containers get no IPv6 address from the IPv6 subnet")
        for user in users:
            entry = services[user]
            ports = entry.get("ports") if isinstance(entry, Mapping) else None
            bound = sorted(filter(None, map(_on_ipv4, ports if isinstance(ports, list) else [])))
            if bound:
                yield port_note(f"service {user}", bound)

    # Values

    def _error(self, path: FieldPath, message: str, remedy: str) -> None:
        self.errors.append(FieldError(path, message, remedy))

    def _mapping(self, value: object, path: FieldPath) -> Mapping[str, object]:
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return value
        self._error(path, f"must be a mapping, not {quote(value)}", "correct it")
        return {}

    def _text(self, value: object, path: FieldPath) -> str:
        """A string, a number or a flag as Compose reads it, without ``$$``. A variable is an error."""
        if value is None:
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        if not isinstance(value, str | int | float):
            self._error(path, f"must be a string, not {quote(value)}", "correct it")
            return ""
        text = str(value)
        if any(not each[1] for each in _DOLLAR.finditer(text)):
            self._error(path, f"{quote(text)} has a variable, which only Compose can replace", RESOLVE)
            return ""
        return text.replace("$$", "$")

    def _texts(self, value: object, path: FieldPath) -> dict[str, str]:
        return {key: self._text(each, (*path, key)) for key, each in self._mapping(value, path).items()}

    def _labels(self, value: object, path: FieldPath) -> dict[str, str]:
        if not isinstance(value, list):
            return self._texts(value, path)
        pairs = (self._text(each, (*path, index)).partition("=") for index, each in enumerate(value))
        return {key: text for key, _, text in pairs}

    def _flag(self, value: object, path: FieldPath, *, default: bool) -> bool:
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        text = self._text(value, path).lower()
        if text in {"true", "false"}:
            return text == "true"
        if text:
            self._error(path, f"must be true or false, not {quote(value)}", "correct it")
        return default


def _prefix(text: str) -> IPv4Network | IPv6Network:
    """A subnet. Engines accept host bits and clear them."""
    return ip_network(text, strict=False)


def _on_ipv4(port: object) -> str:
    """A port that is published on a written IPv4 address, for a message; "": it is not."""
    if isinstance(port, Mapping):
        address, shown = str(port.get("host_ip") or ""), f"{port.get('host_ip')}:{port.get('published')}"
    else:
        shown = str(port)
        parts = shown.split(":")
        address = parts[0] if len(parts) == _HOST_PORT_PARTS else ""
    try:
        return shown if ip_address(address).version == 4 else ""  # noqa: PLR2004 - IPv4
    except ValueError:
        return ""
