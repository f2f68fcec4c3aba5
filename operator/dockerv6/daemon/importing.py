"""``dockerv6 import``: read Docker networks or Compose files, and decide which resources stand for them."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from dockerv6.api.errors import did_you_mean
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.network import ManagementPolicy
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.values import quote
from dockerv6.daemon.compose_directory import PROJECT_NAME, environment_name, merge_remarks
from dockerv6.daemon.doctor import may_read_filters, running_suspects
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.client import DockerEngine
from dockerv6.dockerd.model import COMPOSE_PROJECT, EngineInfo, Network
from dockerv6.firewall.hostfilter.linux import engine_variants
from dockerv6.firewall.ipv6nat.presence import IPv6NatPresence, detect
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.lib.clock import SystemClock
from dockerv6.lib.text import printable_path
from dockerv6.planning.importing.compose import RESOLVE, ComposeError, ComposeProject, read_project
from dockerv6.planning.importing.model import Import, ImportContext, ImportedNetwork
from dockerv6.planning.importing.networks import import_ipv6nat, import_networks
from dockerv6.planning.inputs import Identity
from dockerv6.planning.policy import assign_networks
from dockerv6.source.files import MAX_BYTES, FileOwnership
from dockerv6.source.load import Loader
from dockerv6.source.model import Diagnostic, Position, Severity, SourcedResource
from dockerv6.source.yaml import parse
from dockerv6.source.yaml_text import UnreadableText, decode_text, json_to_yaml

IPV6_RULES_SINCE = (27, 0)
"""Since this release, engines write IPv6 rules unless daemon.json turns them off."""


class NotFoundError(Exception):
    """A network or project that was asked for does not exist. The message has a suggestion."""


class ComposeFileError(Exception):
    """Compose files can't be imported. ``diagnostics`` say why."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__("\n".join(map(str, diagnostics)))
        self.diagnostics = diagnostics


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The import, and what a person should know about it as a whole."""

    found: Import
    remarks: tuple[str, ...] = ()


def import_host(
    settings: Settings, names: Sequence[str], project: str, policy: ManagementPolicy = ManagementPolicy.OBSERVE
) -> ImportResult:
    """Import the networks of the engine. Changes nothing.

    Args:
        settings: the engine, the sources with the resources that exist, the instance.
        names: names or ids of networks; empty: all.
        project: only the networks of that Compose project; "": of all.
        policy: whether dockerv6 is to create the networks itself.

    Raises:
        NotFoundError: there is no such network, or no such project.
        EngineError, DockerHostError, FirewallError: the engine or the packet filter can't be read.
    """
    return asyncio.run(_import_host(settings, names, project, policy))


async def _import_host(
    settings: Settings, names: Sequence[str], project: str, policy: ManagementPolicy
) -> ImportResult:
    engine = DockerEngine(settings.docker_host)
    try:
        info = await engine.info()
        every = await engine.networks()
        containers = await engine.containers()
        suspects = await running_suspects(engine)
    finally:
        await engine.close()
    chosen = _chosen(every, names, project)
    presence, translates, remarks = await _packet_filter(info, suspects)
    resources, more = await asyncio.to_thread(_existing, settings)
    context = _context(settings, policy, info, translates, resources, every)
    if presence is None:
        return ImportResult(Import(import_networks(chosen, containers, context)), (*remarks, *more))
    found = import_ipv6nat(chosen, containers, context, named=bool(names or project))
    return ImportResult(found, (f"{presence.summary}; see docs/docker-ipv6nat.md", *remarks, *more))


def import_files(
    settings: Settings, paths: Sequence[str], stdin: BinaryIO, project: str, policy: ManagementPolicy
) -> ImportResult:
    """Import the networks that Compose creates for these files. Needs no engine.

    Args:
        settings: the sources with the resources that exist.
        paths: Compose files, each of a project of its own; "-" is standard input.
        stdin: what "-" stands for.
        project: the project's name; "": that of the file.
        policy: whether dockerv6 is to create the networks itself.

    Raises:
        ComposeFileError: a file is malformed, only Compose can understand it, or its project has another name there.
        OSError: a file can't be read.
    """
    projects: dict[str, ComposeProject] = {}
    overrides: tuple[str, ...] = ()
    for path in paths:
        name, content = "<stdin>" if path == "-" else printable_path(path), _read(path, stdin)
        # as Compose: a link gives its own directory
        directory = Path.cwd() if path == "-" else Path(os.path.abspath(path)).parent  # noqa: PTH100 - resolves ".."
        named, where = ("", "") if project else environment_name(directory, os.environ)
        found = compose_project(name, content, named or directory.name, project)
        if named and path != "-" and found.name != named:  # what Compose writes to a pipe has its final name
            message = f"the project would be {found.name}, but {where} sets {PROJECT_NAME} to {quote(named)}"
            raise ComposeFileError((Diagnostic(Position(name), Severity.ERROR, (), message, "give --project NAME"),))
        overrides += () if path == "-" else merge_remarks(directory / Path(path).name, os.environ)
        if found.name in projects:
            message = f"another of the files has the project {found.name} too, and Compose would merge them"
            raise ComposeFileError((Diagnostic(Position(name), Severity.ERROR, (), message, RESOLVE),))
        projects[found.name] = found
    networks = [network for each in projects.values() for network in each.networks]
    resources, more = _existing(settings)
    remarks = (*overrides, *more)
    context = _context(settings, policy, None, translates=True, resources=resources, networks=())
    notes = {name: more for each in projects.values() for name, more in each.notes.items()}
    imported = [
        replace(each, notes=(*each.notes, *notes.get(each.network, ())))
        for each in import_networks(networks, (), context)
    ]
    imported += [ImportedNetwork(name, skipped=why) for each in projects.values() for name, why in each.skipped.items()]
    if policy is ManagementPolicy.MANAGE:
        text = "Compose must not create these networks too: declare each with external: true and name: in its file"
        remarks = (*remarks, text)
    return ImportResult(Import(tuple(imported)), remarks)


def compose_project(name: str, content: bytes, directory: str, project: str) -> ComposeProject:
    """The project of a Compose file in YAML or JSON.

    Args:
        name: of the file, for positions.
        content: of the file.
        directory: the name of its directory.
        project: as for `import_files`.

    Raises:
        ComposeFileError: it is malformed, or only Compose can understand it.
    """
    try:
        text = decode_text(name, content)
        documents = list(parse(name, json_to_yaml(text) if text.lstrip().startswith("{") else text))
    except UnreadableText as error:
        raise ComposeFileError((error.diagnostic,)) from error
    if len(documents) != 1:
        message = f"a Compose file is one YAML document, and this has {len(documents)}"
        raise ComposeFileError((Diagnostic(Position(name), Severity.ERROR, (), message, RESOLVE),))
    document = documents[0]
    if document.problems:
        raise ComposeFileError(document.problems)
    try:
        return read_project(document.value, directory, project)
    except ComposeError as error:
        raise ComposeFileError(
            tuple(
                Diagnostic(document.position(e.path, at_key=e.at_key), Severity.ERROR, e.path, e.message, e.remedy)
                for e in error.errors
            )
        ) from error


def _read(path: str, stdin: BinaryIO) -> bytes:
    if path == "-":
        return stdin.read(MAX_BYTES + 1)
    with Path(path).open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _chosen(every: Sequence[Network], names: Sequence[str], project: str) -> list[Network]:
    found = [n for n in every if not project or n.labels.get(COMPOSE_PROJECT) == project]
    if project and not found:
        projects = sorted({n.labels[COMPOSE_PROJECT] for n in every if COMPOSE_PROJECT in n.labels})
        raise NotFoundError(
            f"no Docker network belongs to the Compose project {project}; {did_you_mean(project, projects)}"
            if projects
            else f"no Docker network belongs to a Compose project; start {project} first, or import its file with -f"
        )
    for name in names:
        if not any(_is_named(n, name) for n in found):
            raise NotFoundError(f"there is no Docker network {name}; {did_you_mean(name, [n.name for n in found])}")
    return [n for n in found if not names or any(_is_named(n, name) for name in names)]


def _is_named(network: Network, name: str) -> bool:
    return name in {network.name, network.id, network.id[:12]}


async def _packet_filter(
    info: EngineInfo, suspects: Sequence[str]
) -> tuple[IPv6NatPresence | None, bool, tuple[str, ...]]:
    """docker-ipv6nat on this host, whether the engine has IPv6 rules of its own, and remarks on both."""
    hint = tuple(f"container {name} seems to be docker-ipv6nat, by its name" for name in suspects)
    if not may_read_filters():
        remark = (
            "the packet filter can't be read without CAP_NET_ADMIN, so docker-ipv6nat is not looked for: run as root"
        )
        return None, info.release >= IPV6_RULES_SINCE, (remark, *hint)
    session = NftSession()
    try:
        presence = await detect(session)
        if presence is not None and presence.rules:  # its chains have the names of the engine's
            return presence, presence.engine_rules, ()
        return presence, bool(await engine_variants(session)), () if presence is not None else hint
    finally:
        await session.close()


def _existing(settings: Settings) -> tuple[tuple[SourcedResource, ...], tuple[str, ...]]:
    """The valid resources of the sources, and a remark where there are others."""
    ownership = FileOwnership.of_this_process(settings.trusted_uids)
    snapshot = Loader(settings.config_dirs, clock=SystemClock(), ownership=ownership, settle=0).load()
    if not snapshot.invalid and not snapshot.broken_files:
        return snapshot.resources, ()
    where = ", ".join(settings.config_dirs)
    return snapshot.resources, (f"{where} has invalid resources, which are not considered: run dockerv6 validate",)


def _context(
    settings: Settings,
    policy: ManagementPolicy,
    info: EngineInfo | None,
    translates: bool,  # noqa: FBT001 - named by its callers where it is a literal
    resources: Sequence[SourcedResource],
    networks: Sequence[Network],
) -> ImportContext:
    own = [each.resource for each in resources if isinstance(each.resource, NetworkResource)]
    policies = {r.metadata.name: r for each in resources if isinstance(r := each.resource, IPv6Policy)}
    assigned = assign_networks(policies, networks, {}).networks
    claimed: Mapping[str, str] = {each.docker_name: each.metadata.name for each in own}
    return ImportContext(
        policy=policy,
        engine=info,
        translates=translates,
        identity=Identity(settings.instance),
        claimed=claimed,
        policies={n.name: name for name, of_policy in assigned.items() for n in of_policy},
        taken=frozenset({each.metadata.name for each in own} | policies.keys()),
    )
