"""Which resource stands for a Docker network, and what it does not carry over."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from dockerv6.api.network import ManagementPolicy
from dockerv6.api.scheme import decode
from dockerv6.dockerd.model import (
    COMPOSE_PROJECT,
    Container,
    ContainerEndpoint,
    Network,
    PortBinding,
    SubnetConfig,
)
from dockerv6.planning.docker.network_spec import MTU
from dockerv6.planning.importing.model import Import, ImportContext, ImportedNetwork, ImportNote
from dockerv6.planning.importing.networks import import_ipv6nat, import_networks
from dockerv6.planning.inputs import MANAGED_BY, NAME_LABEL
from tests.unit.planning.scene import ENGINE_20_10, ENGINE_28, foreign

BRIDGE = "com.docker.network.bridge"
LIVE = ImportContext(engine=ENGINE_28)
MANAGE = replace(LIVE, policy=ManagementPolicy.MANAGE)


def one(network: Network, context: ImportContext = LIVE, *containers: Container) -> ImportedNetwork:
    (found,) = import_networks([network], containers, context)
    if found.resource is not None:
        decode(found.resource.document)
    return found


def spec_of(network: Network, context: ImportContext = LIVE, *containers: Container) -> dict[str, object]:
    found = one(network, context, *containers)
    assert found.resource is not None, found.skipped
    return dict(found.resource.spec)


def options(**named: str) -> dict[str, str]:
    return {f"{BRIDGE}.{key}": value for key, value in named.items()}


def notes(found: ImportedNetwork) -> str:
    return "\n".join(map(str, found.notes))


def on(network: Network, name: str, *ports: PortBinding) -> Container:
    return Container(f"{name}-id", name, 1, ports=ports, endpoints=(ContainerEndpoint(network.id, network.name),))


def test_a_network_is_observed_by_its_own_name() -> None:
    found = one(foreign("blog"))
    assert found.resource is not None
    assert found.resource.document == {
        "apiVersion": "dockerv6.io/v1alpha1",
        "kind": "IPv6Network",
        "metadata": {"name": "blog"},
        "spec": {"managementPolicy": "Observe"},
    }
    assert found.notes == ()
    assert found.recreation == ()


@pytest.mark.parametrize(
    ("docker", "name"),
    [("Shop_Web.1", "shop-web-1"), ("_", "network-d2e2ad"), ("x" * 70, "x" * 63), ("shop..", "shop")],
)
def test_a_name_that_is_no_label_is_mapped_visibly(docker: str, name: str) -> None:
    found = one(foreign(docker))
    assert found.resource is not None
    assert (found.resource.name, found.resource.spec["networkName"]) == (name, docker)
    assert docker in notes(found)


def test_names_that_map_to_one_get_a_hash_and_the_exact_one_keeps_its_name() -> None:
    networks = [foreign(name, f"fd99:{n}::/64", n) for n, name in enumerate(("A_b", "a-b", "a.b"), 1)]
    names = [n.resource.name for n in import_networks(networks, (), LIVE) if n.resource is not None]
    assert names[1] != names[0] != names[2] != names[1] == "a-b"
    assert all(name.startswith("a-b-") for name in (names[0], names[2]))
    taken = import_networks(networks[1:2], (), replace(LIVE, taken=frozenset({"a-b"})))
    assert taken[0].resource is not None
    assert taken[0].resource.name.startswith("a-b-")
    assert taken[0].resource.spec["networkName"] == "a-b"


NO_IPV6 = Network("1" * 64, "old", "bridge", ipam=(SubnetConfig(IPv4Network("192.0.2.0/28")),))


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (Network("1", "host", "host"), "host's own network stack"),
        (Network("1", "none", "null"), "no network at all"),
        (Network("1", "bridge", "bridge"), "has no IPv6"),
        (Network("1", "ingress", "overlay", enable_ipv6=True), "Swarm"),
        (Network("1", "weave", "weave:latest"), "does not serve the driver weave:latest"),
        (foreign("bad", "fd99::/64", 1), "can't be read: Options"),
        (
            foreign("own", "fd99::/64", 1, **{MANAGED_BY: "dockerv6", NAME_LABEL: "mine"}),
            "IPv6Network mine, which manages it",
        ),
        (foreign("seen", "fd99::/64", 1), "IPv6Network watcher is for this network already"),
        (foreign("ruled", "fd99::/64", 1), "IPv6Policy all applies to it already"),
        (replace(foreign("v6", "fd99::/64", 1), enable_ipv6=False), "in spite of its subnet fd99::/64"),
        (foreign("local", "fe80::/64", 1), "has no IPv6"),
        (foreign("not a name", "fd99::/64", 1), ""),
    ],
    ids=lambda value: value.name if isinstance(value, Network) else "",
)
def test_what_is_left_out_gets_a_note(network: Network, why: str) -> None:
    network = replace(network, problem="Options" if network.name == "bad" else "")
    context = replace(LIVE, claimed={"seen": "watcher"}, policies={"ruled": "all"})
    found = one(network, context)
    assert (found.resource is None) == bool(why)
    assert why in found.skipped


def test_of_two_networks_with_one_name_the_one_that_would_be_observed_is_imported() -> None:
    networks = [foreign("twin", "fd99:2::/64", 2), foreign("twin", "fd99:1::/64", 1)]
    first, second = import_networks(networks, (), LIVE)
    assert first.resource is not None
    assert second.resource is None
    assert "docker network rm 000000000000" in second.skipped


def test_of_two_declarations_of_one_network_in_compose_files_one_has_to_be_external() -> None:
    front, back = (
        replace(foreign("edge", "fd99::/64", 1), id="", labels={"com.docker.compose.network": key})
        for key in ("front", "back")
    )
    first, second = import_networks([front, back], (), replace(LIVE, engine=None))
    assert first.resource is not None
    assert second.resource is None
    assert "two declarations" in second.skipped
    assert "external: true" in second.skipped
    assert "docker network rm" not in second.skipped


def test_the_containers_of_a_project_without_ipv6_may_join_another_network() -> None:
    networks = [replace(NO_IPV6, name=name, labels={COMPOSE_PROJECT: "Blog"}) for name in ("blog_a", "blog_b")]
    first, second, third = import_networks([*networks, replace(NO_IPV6, name="zzz")], (), LIVE)
    assert first.example is not None
    assert first.example.name == "blog-ipv6"
    assert first.example.spec == {"members": {"matchLabels": {COMPOSE_PROJECT: "Blog"}}}
    decode(first.example.document)
    assert second.example is third.example is None
    assert "Compose project Blog" in second.skipped


@pytest.mark.parametrize(
    ("changed", "context", "spec", "note"),
    [
        (options(enable_ip_masquerade="0"), LIVE, {"egress": {"mode": "None"}}, ""),
        (options(gateway_mode_ipv6="routed"), LIVE, {"egress": {"mode": "Routed"}}, "spec.firewall.ingress"),
        (options(gateway_mode_ipv6="nat-unprotected"), LIVE, {"firewall": {"ingress": [{}]}}, ""),
        (options(enable_icc="false"), LIVE, {}, ""),
        ({}, replace(LIVE, translates=False), {}, "The engine has no IPv6 rules"),
    ],
)
def test_todays_behaviour_stays_where_a_driver_option_determines_it(
    changed: dict[str, str], context: ImportContext, spec: dict[str, object], note: str
) -> None:
    found = one(replace(foreign("blog"), options=changed), context)
    assert found.resource is not None
    assert found.resource.spec == {"managementPolicy": "Observe", **spec}
    assert note in notes(found)


def test_public_addresses_that_no_engine_translates_stay_as_they_are() -> None:
    public = foreign("public", "2001:db8:1::/64")
    assert spec_of(public, replace(LIVE, engine=ENGINE_20_10, translates=False))["egress"] == {"mode": "Routed"}
    assert "egress" not in spec_of(public)
    both = replace(public, ipam=(*public.ipam, SubnetConfig(IPv6Network("fd99::/64"))))
    assert "egress" not in spec_of(both, replace(LIVE, translates=False))


def test_macvlan_and_internal_networks_set_nothing_that_has_no_effect_there() -> None:
    lan = replace(foreign("lan"), driver="macvlan", options={"parent": "eth0"})
    assert spec_of(lan) == {"managementPolicy": "Observe"}
    assert "bypass" in notes(one(lan))
    inside = replace(foreign("inside"), internal=True, options=options(enable_ip_masquerade="false"))
    assert spec_of(inside) == {"managementPolicy": "Observe"}


def test_ports_that_stay_without_ipv6_are_named() -> None:
    blog = foreign("blog")
    any4, loopback = IPv4Address("0.0.0.0"), IPv4Address("127.0.0.1")
    web = on(
        blog,
        "web",
        PortBinding("tcp", 80, 8080, any4),
        PortBinding("tcp", 81, 8081, any4, ipv4_only=True),
        PortBinding("udp", 53, 53, loopback),
        PortBinding("tcp", 82, 8082, IPv6Address("::1")),
    )
    (note,) = one(blog, LIVE, web, on(foreign("other", "fd98::/64", 98), "else")).notes
    assert str(note).startswith("Ports of web: 0.0.0.0:8081/tcp, 127.0.0.1:53/udp: ")


def full() -> Network:
    """A network with every field that has a counterpart."""
    return Network(
        "f" * 64,
        "full",
        "bridge",
        attachable=True,
        ipam_driver="infoblox",
        enable_ipv6=True,
        ipam=(
            SubnetConfig(
                IPv4Network("192.0.2.0/28"), IPv4Address("192.0.2.5"), IPv4Network("192.0.2.8/29"), {"a": "192.0.2.3"}
            ),
            SubnetConfig(
                IPv6Network("fd99::/64"),
                IPv6Address("fd99::9"),
                IPv6Network("fd99::8000/113"),
                {"router": "fd99::5", "switch": "fd99::4"},
            ),
            SubnetConfig(IPv6Network("fd98::/64"), IPv6Address("fd98::1")),
        ),
        options={
            **options(name="br-full", enable_icc="false", host_binding_ipv6="2001:db8::7", inhibit_ipv4="true"),
            "com.docker.network.driver.mtu": "1400",
            "com.docker.network.enable_ipv6": "true",
            "flag": "x",
        },
        labels={"team": "web", COMPOSE_PROJECT: "shop", "dockerv6.io/policy": "x"},
    )


def test_a_managed_network_carries_every_field_over_and_names_the_others() -> None:
    found = one(full(), MANAGE, on(full(), "web"))
    assert found.resource is not None
    assert found.resource.spec == {
        "attachable": True,
        "addressing": {
            "subnet": "fd99::/64",
            "gateway": "fd99::9",
            "ipRange": "fd99::8000/113",
            "reserved": ["fd99::4", "fd99::5"],
        },
        "ipv4": {"subnet": "192.0.2.0/28", "gateway": "192.0.2.5"},
        "bridge": {"name": "br-full", "mtu": 1400, "icc": False},
        "publish": {"hostAddress": "2001:db8::7"},
        "options": {f"{BRIDGE}.inhibit_ipv4": "true"},
        "labels": {"team": "web"},
    }
    assert [note.field for note in found.notes] == [
        "IPAM.Driver",
        "IPAM.Config",
        "IPAM.Config.AuxiliaryAddresses",
        "IPAM.Config.IPRange",
        "IPAM.Config.AuxiliaryAddresses",
        f"Labels.{COMPOSE_PROJECT}",
        "Labels.dockerv6.io/policy",
        "spec.options.flag",
    ]
    assert found.disconnected == ("web",)
    assert "label dockerv6.io/managed-by is unset, should be dockerv6" in found.recreation
    assert "bridge" not in "".join(w for w in found.recreation if "bridge.name" in w)


@pytest.mark.parametrize("name", ["bridge", "docker_gwbridge"])
def test_the_engines_own_networks_are_observed_even_with_manage(name: str) -> None:
    bridge = {"bridge": "docker0"}.get(name, name)
    found = one(replace(foreign(name), options=options(name=bridge)), MANAGE)
    assert found.resource is not None
    assert found.resource.spec["managementPolicy"] == "Observe"
    assert found.recreation == ()
    assert ImportNote("", "the engine creates this network; it can only be observed") in found.notes


@pytest.mark.parametrize(
    "network",
    [
        replace(foreign("lan"), driver="macvlan"),  # without a parent: an IPv6Network would have to be internal
        replace(foreign("x"), name="two words"),
    ],
)
def test_a_network_that_no_resource_can_create_is_left_out(network: Network) -> None:
    found = one(network, MANAGE)
    assert found.resource is None
    assert "an IPv6Network can't describe it: spec." in found.skipped


@pytest.mark.parametrize("mtu", ["1" * 5000, "9" * 25, "-1", "0x5dc"])
def test_an_mtu_that_is_no_number_is_left_out(mtu: str) -> None:
    found = one(replace(foreign("blog", "fd99::/64", 1), options={MTU: mtu}), MANAGE)
    assert found.resource is not None
    assert "bridge" not in found.resource.spec
    assert any("bridge.mtu" in str(note) and "is left out" in str(note) for note in found.notes)


def test_a_host_of_docker_ipv6nat_gets_a_policy_and_the_others_one_by_one() -> None:
    networks = [
        replace(foreign("a"), options=options(host_binding_ipv6="2001:db8::7")),
        foreign("public", "2001:db8:1::/64", 2),
        foreign("mine", "fd98::/64", 3, **{MANAGED_BY: "dockerv6", NAME_LABEL: "mine"}),
        NO_IPV6,
    ]
    context = replace(LIVE, translates=False, taken=frozenset({"docker-ipv6nat"}))
    found = import_ipv6nat(networks, (), context, named=False)
    assert found.policy is not None
    assert found.policy.networks == ("a",)
    assert found.policy.resource.name.startswith("docker-ipv6nat-")
    assert found.policy.resource.spec == {
        "selector": {"prefixes": ["fc00::/7"]},
        "publish": {"ipv4Wildcard": "Both"},
    }
    assert "2001:db8::7" in str(found.policy.notes[0])
    assert [(n.network, n.resource is not None) for n in found.networks] == [
        ("mine", False),
        ("old", False),
        ("public", True),
    ]
    named = import_ipv6nat(networks, (), context, named=True)
    assert named.policy is not None
    assert named.policy.resource.spec["selector"] == {"names": ["a"]}
    assert import_ipv6nat([NO_IPV6], (), context, named=False).policy is None


def test_with_manage_networks_of_docker_ipv6nat_keep_its_reading_of_ports() -> None:
    context = replace(MANAGE, translates=False)
    found = import_ipv6nat([foreign("a"), foreign("p", "2001:db8:1::/64", 2)], (), context, named=False)
    assert isinstance(found, Import)
    ula, public = (n.resource for n in found.networks)
    assert ula is not None
    assert public is not None
    assert ula.spec["publish"] == {"ipv4Wildcard": "Both"}
    assert "publish" not in public.spec
