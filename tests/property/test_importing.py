"""For all Docker networks of an engine: what `dockerv6 import` writes touches none of them, once it is applied."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.api.kinds import NETWORK, POLICY
from dockerv6.api.meta import name_problem
from dockerv6.api.network import ManagementPolicy
from dockerv6.api.scheme import decode
from dockerv6.cli.printers.imported import import_text, resource_texts, summary
from dockerv6.dockerd.model import BRIDGE_NAME, COMPOSE_PROJECT, Container, Network, NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import EngineError
from dockerv6.planning.importing.compose import read_project
from dockerv6.planning.importing.model import Import, ImportContext, ImportedNetwork, resource_names
from dockerv6.planning.importing.networks import import_ipv6nat, import_networks
from dockerv6.planning.inputs import MANAGED_BY
from dockerv6.source.documents import load_text
from tests.fakes.dockerd.versions import ENGINE_20_10, ENGINE_28_5, EngineVersion
from tests.property.examples import examples
from tests.simulation.preview import preview
from tests.world import Host

BRIDGE = "com.docker.network.bridge"
ON_THE_ENGINE = {"Network", "Endpoint", "Member", "Subnet"}
"""Parts of the names of steps that concern the engine or the ledger."""

docker_names = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}", fullmatch=True)
options = st.dictionaries(
    st.sampled_from(
        [
            f"{BRIDGE}.enable_icc",
            f"{BRIDGE}.enable_ip_masquerade",
            f"{BRIDGE}.host_binding_ipv4",
            f"{BRIDGE}.host_binding_ipv6",
            f"{BRIDGE}.gateway_mode_ipv6",
            f"{BRIDGE}.trusted_host_interfaces",
            "com.docker.network.driver.mtu",
            "com.docker.network.container_iface_prefix",
            "com.docker.network.container_iface_prefx",
            "site.option",
            "flag",
        ]
    ),
    st.sampled_from(
        [
            "true",
            "false",
            "0",
            "",
            "1400",
            "9999999",
            "eth0",
            "routed",
            "nat-unprotected",
            "2001:db8:9::1",
            "nonsense\n- x",
        ]
    ),
    max_size=3,
)
labels = st.dictionaries(
    st.sampled_from([COMPOSE_PROJECT, "com.docker.compose.network", "com.docker.compose.version", "team", "a b", ""]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8) | st.sampled_from(["shop", "blog"]),
    max_size=3,
)


def ipv6(number: int, length: int) -> IPv6Network:
    base = (0xFD00_0000_0000 if number % 2 else 0x2001_0DB8_0000) + number
    return IPv6Network((base << 80, 128)).supernet(new_prefix=length)


@st.composite
def created_by_others(draw: st.DrawFn, number: int) -> NetworkSpec:
    """A network as `docker network create` may make it."""
    driver = draw(st.sampled_from(["bridge"] * 6 + ["macvlan", "ipvlan"]))
    subnet = ipv6(number, draw(st.sampled_from([48, 64, 80, 112, 126, 127])))
    config = SubnetConfig(
        subnet,
        draw(st.sampled_from([None, subnet[1], subnet[min(2, subnet.num_addresses - 1)]])),
        draw(st.sampled_from([None, None, IPv6Network((subnet[0], min(126, subnet.prefixlen + 4)))]))
        if subnet.prefixlen < 120
        else None,
        draw(st.sampled_from([{}, {}, {"router": str(subnet[3])}])) if subnet.prefixlen < 126 else {},
    )
    ipam: list[SubnetConfig] = [config] if draw(st.booleans()) else []
    if draw(st.booleans()):
        four = IPv4Network(f"192.0.2.{16 * number}/28")
        ipam.append(SubnetConfig(four, draw(st.sampled_from([None, four[1], four[5]]))))
    parent = {"parent": "eth0"} if driver != "bridge" else {}
    return NetworkSpec(
        name=draw(docker_names),
        driver=driver,
        internal=draw(st.booleans()) and driver == "bridge",
        attachable=draw(st.booleans()),
        enable_ipv6=bool(ipam and ipam[0] is config) and draw(st.sampled_from([True, True, True, False])),
        ipam=tuple(ipam),
        options={**parent, **(draw(options) if driver == "bridge" else {})},
        labels=draw(labels),
    )


@st.composite
def specifications(draw: st.DrawFn) -> list[NetworkSpec]:
    count = draw(st.integers(0, 4))
    return [draw(created_by_others(number)) for number in range(count)]


versions = st.sampled_from([ENGINE_20_10, ENGINE_28_5])


async def on_an_engine(version: EngineVersion, wanted: Sequence[NetworkSpec]) -> tuple[Host, list[str]]:
    """A host with these networks, and a container on each. Those that the engine refuses are missing."""
    host, made = Host(version), []
    for number, spec in enumerate(wanted):
        with suppress(EngineError):
            made.append(await host.engine.create_network(spec))
            host.engine.run_container(f"c{number}", spec.name, ports=(f"{8000 + number}:80",))
    return host, made


async def context_of(host: Host, **changes: object) -> ImportContext:
    return replace(ImportContext(engine=await host.engine.info()), **changes)  # type: ignore[arg-type]


async def applied(host: Host, found: Import) -> None:
    """Apply the resources, once, as a daemon does."""
    resources = [decode(each.document).resource for each in found.resources]
    bench = await host.bench(*resources)
    await bench.repair()
    for _ in range(2):  # the first reconcile of a resource may change what the others see
        for each in found.resources:
            await bench.reconcile(each.name, each.kind)


async def untouched(host: Host) -> tuple[tuple[Network, ...], tuple[Container, ...]]:
    return await host.engine.networks(), await host.engine.containers()


def check_no_change(found: Import, version: EngineVersion, wanted: Sequence[NetworkSpec]) -> None:
    async def check() -> None:
        host, _ = await on_an_engine(version, wanted)
        host.files.write(*(decode(each.document).resource for each in found.resources))
        before = await untouched(host)
        for plan in (await preview(host)).values():
            assert not [s.action for s in plan.steps if any(part in s.action for part in ON_THE_ENGINE)]
        await applied(host, found)
        after = await preview(host)
        assert {name: [s.action for s in plan.steps] for name, plan in after.items() if plan.steps} == {}
        assert await untouched(host) == before

    asyncio.run(check())


@examples(25)
@given(specifications(), versions, st.booleans())
def test_an_import_touches_no_docker_network_and_the_next_plan_is_empty(
    wanted: list[NetworkSpec],
    version: EngineVersion,
    translates: bool,  # noqa: FBT001 - drawn
) -> None:
    async def imported() -> Import:
        host, _ = await on_an_engine(version, wanted)
        networks, containers = await untouched(host)
        return Import(import_networks(networks, containers, await context_of(host, translates=translates)))

    check_no_change(asyncio.run(imported()), version, wanted)


@examples(25)
@given(specifications(), versions, st.booleans())
def test_the_import_of_a_host_of_docker_ipv6nat_touches_no_docker_network(
    wanted: list[NetworkSpec],
    version: EngineVersion,
    named: bool,  # noqa: FBT001 - drawn
) -> None:
    async def imported() -> Import:
        host, _ = await on_an_engine(version, wanted)
        networks, containers = await untouched(host)
        found = import_ipv6nat(networks, containers, await context_of(host, translates=False), named=named)
        assert {n.name for n in networks} == {n.network for n in found.networks} | set(
            found.policy.networks if found.policy else ()
        )
        assert found.policy is None or found.policy.resource.kind == POLICY
        return found

    check_no_change(asyncio.run(imported()), version, wanted)


def lost(original: Network, again: Network) -> set[str]:
    """The fields that are different in a network that was created from its import."""
    found = {
        name
        for name in ("name", "driver", "internal", "attachable", "enable_ipv4", "enable_ipv6")
        if getattr(original, name) != getattr(again, name)
    }
    for kind, before, after in (
        ("Options", original.options, again.options),
        ("Labels", original.labels, again.labels),
    ):
        ours = {BRIDGE_NAME, f"{BRIDGE}.gateway_mode_ipv6"}
        found |= {f"{kind}.{key}" for key in before.keys() | after.keys() if before.get(key) != after.get(key)} - {
            f"{kind}.{key}" for key in after if key.startswith("dockerv6.io/") or key in ours - before.keys()
        }
    if {c.subnet for c in original.ipam} != {c.subnet for c in again.ipam}:
        found.add("subnet")
    return found


def says(found: ImportedNetwork, field: str) -> bool:
    """Whether a note or a reason of the recreation names the field."""
    last = field.partition(".")[2] or repr("") if "." in field else field
    return any(last in str(line) for line in (*found.notes, *found.recreation))


@examples(25)
@given(specifications(), versions)
def test_a_managed_network_is_created_like_the_present_one_and_differences_get_a_note(
    wanted: list[NetworkSpec], version: EngineVersion
) -> None:
    async def check() -> None:
        host, made = await on_an_engine(version, wanted)
        networks, containers = await untouched(host)
        context = await context_of(host, policy=ManagementPolicy.MANAGE)
        present = [n for n in networks if n.id in made]
        result = Import(import_networks(present, containers, context))
        originals = {n.name: n for n in present}
        for each in result.networks:
            if each.resource is None:
                continue
            assert any(MANAGED_BY in why for why in each.recreation)
            on_it = {c.name for c in containers if any(e.network_name == each.network for e in c.endpoints)}
            assert set(each.disconnected) == on_it
        new = Host(version)
        await applied(new, result)
        assert [p.name for p in (await preview(new)).values() if p.steps] == []
        for each in result.networks:
            again = await new.engine.network(each.network)
            if each.resource is not None and again is not None:
                unsaid = {f for f in lost(originals[each.network], again) if not says(each, f)}
                assert unsaid == set(), (each.notes, each.recreation)

    asyncio.run(check())


@examples(25)
@given(specifications(), versions, st.sampled_from(ManagementPolicy))
def test_what_is_printed_is_a_resource_file_with_the_same_resources(
    wanted: list[NetworkSpec], version: EngineVersion, policy: ManagementPolicy
) -> None:
    async def imported() -> Import:
        host, _ = await on_an_engine(version, wanted)
        networks, containers = await untouched(host)
        context = await context_of(host, policy=policy)
        return import_ipv6nat(networks, containers, context, named=False)

    found = asyncio.run(imported())
    expected = [decode(each.document).resource for each in found.resources]
    for form in ("yaml", "json"):
        read = load_text(f"all.{form}", import_text(found, form))
        assert [each.resource for each in read.resources] == expected
        assert not read.invalid
    for text, resource in zip(resource_texts(found), expected, strict=True):
        assert [each.resource for each in load_text("one.yaml", text).resources] == [resource]
    for line in summary(found, examples=True):
        assert line.isprintable()
    for each in found.networks:
        assert (each.resource is None) == bool(each.skipped)
        if each.example is not None:
            assert decode(each.example.document).resource.kind == NETWORK


def in_compose(value: object) -> object:
    """A value as `docker compose config` prints it."""
    return value.replace("$", "$$") if isinstance(value, str) else value


def compose_file(wanted: Sequence[NetworkSpec]) -> dict[str, object]:
    """A Compose file with these networks."""
    networks = {
        f"n{number}": {
            "name": spec.name,
            "driver": spec.driver,
            "internal": spec.internal,
            "attachable": spec.attachable,
            "enable_ipv6": spec.enable_ipv6,
            "driver_opts": {key: in_compose(value) for key, value in spec.options.items()},
            "labels": {key: in_compose(value) for key, value in spec.labels.items()},
            "ipam": {
                "config": [
                    {
                        "subnet": str(c.subnet),
                        "aux_addresses": dict(c.aux_addresses),
                        **({"gateway": str(c.gateway)} if c.gateway else {}),
                        **({"ip_range": str(c.ip_range)} if c.ip_range else {}),
                    }
                    for c in spec.ipam
                ]
            },
        }
        for number, spec in enumerate(wanted)
    }
    return {"name": "shop", "services": {"web": {"networks": list(networks)}}, "networks": networks}


@examples(25)
@given(specifications(), versions)
def test_a_compose_file_is_imported_like_the_networks_that_compose_makes_of_it(
    wanted: list[NetworkSpec], version: EngineVersion
) -> None:
    wanted = list({spec.name: spec for spec in wanted}.values())
    project = read_project(compose_file(wanted), "")

    async def from_engine() -> tuple[ImportedNetwork, ...]:
        host = Host(version)
        for network in project.networks:
            await host.engine.create_network(
                NetworkSpec(**{name: getattr(network, name) for name in NetworkSpec.__slots__})
            )
        live = [n for n in await host.engine.networks() if n.labels.get(COMPOSE_PROJECT) == "shop"]
        return import_networks(live, (), await context_of(host))

    with suppress(EngineError):  # Compose would fail in the same way
        live = {each.network: each for each in asyncio.run(from_engine())}
        for each in import_networks(project.networks, (), ImportContext()):
            assert (each.resource, each.example) == (live[each.network].resource, live[each.network].example)


@given(st.sets(st.text(max_size=80), max_size=6), st.sets(st.sampled_from(["a", "network", "blog"]), max_size=2))
def test_every_docker_name_gets_a_name_of_its_own(names: set[str], taken: set[str]) -> None:
    found = resource_names(names, taken)
    assert found == resource_names(sorted(names, reverse=True), taken)
    assert found.keys() == names
    assert len(set(found.values())) == len(names)
    assert not taken & set(found.values())
    for name, label in found.items():
        assert name_problem(label) is None
        assert label == name or name in taken or name_problem(name) is not None
