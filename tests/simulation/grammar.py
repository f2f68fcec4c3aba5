"""Odd names, values, contents and file names: what people, other programs and damaged disks write."""

import json
from random import Random

from dockerv6.api.kinds import NETWORK, POLICY, POOL
from tests.simulation.directory import resource_file

NAMES: tuple[object, ...] = (
    *("", " ", "*", ".", "..", "-", "a b", "a/b", "../etc/passwd", "A", "ÄÖ", "x" * 300, "x\n", 'x"y', "x'y", "x\\"),
    *("\x00", "\x1b[2J", "\x7f", "\x85", "\u202e", "\u2028", "\ud800", "$(id)", "`id`", "%s", "{}", "null", "true"),
    *(None, True, 5, 1e400, [], ["x"], {}, {"x": "y"}),
)
KINDS: tuple[object, ...] = (
    *("IPV6Network", "ipv6network", "IPv6network", "IPv6Net", "IPv6NetworkList", "List", "Deployment", "Host", *NAMES),
)
VERSIONS: tuple[object, ...] = ("dockerv6.io/v1", "dockerv6.io/v1alpha1 ", "dockerv6/v1alpha1", "v1", "", None, 1, [])
VALUES: tuple[object, ...] = (
    *(*NAMES, -1, 0, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, "9" * 5000),
    *("fe80::/10", "::/0", "::1", "fd00:bad::/129", "fd00:bad::1%eth0", "0.0.0.0/0", "ff02::1", "fd00:bad::/64"),
    *("eth0", "*", "eth*", "docker0", "lo", 'br"0', "br;drop", "br{", "a" * 16, "br 0", "@br", "-br", "br/../x"),
)
BRIDGES = ("*", "br*", "br-*x", 'br"q', "br;drop", "br{x", "br\\x", "br,x", "br@x", "-br", "br'x", "br$x", "br#x")
"""Names that the kernel accepts for an interface."""

FILE_NAMES: tuple[bytes, ...] = (
    *(b"\xff\xfe.yaml", b"\xc3.yaml", b"new\nline.yaml", b"\x1b[2J.yaml", b"-rf.yaml", b" .yaml", b"a b.yaml"),
    *(b"*.yaml", b"'\".yaml", b"$(id).yaml", b"%s%n.yaml", b"\xe2\x80\xae.yaml", b"\xed\xa0\x80.yaml", b"\\.yaml"),
    *(b"x" * 250 + b".yaml", b"\x7f.json", b"\xc2\x85.yml", b"~x.yaml", b"#x.yaml", b"{}.yaml", b"CON.yaml"),
)
"""Names of resource files, and of some that are none."""

_LABELS = (
    *("dockerv6.io/managed-by", "dockerv6.io/name", "dockerv6.io/policy", "dockerv6.io/network"),
    *("com.docker.compose.project", *map(str, NAMES[:24])),
)
_FIELDS: dict[str, tuple[str, ...]] = {
    NETWORK: (
        *(
            "driver",
            "bridge.name",
            "bridge.mtu",
            "egress.mode",
            "egress.interfaces",
            "egress.exclude",
            "options",
            "ipv4",
        ),
        *(
            "labels",
            "addressing",
            "addressing.subnet",
            "addressing.poolRef.name",
            "addressing.prefixLength",
            "internal",
        ),
        *("publish.hostAddress", "publish.ports", "firewall.ingress", "ndpProxy.interface", "members.matchLabels"),
        *("networkName", "updateStrategy", "deletionPolicy", "managementPolicy", "suspend", "hosts.matchNames", "nope"),
    ),
    POLICY: ("egress.mode", "egress.interfaces", "egress.snatAddress", "publish.ports", "firewall.ingress", "nope"),
    POOL: ("prefix", "prefixes", "exclude", "generate", "fromInterface.name", "cooldown", "allocationLength", "nope"),
}


def kind(random: Random, name: str) -> bytes:
    """A resource of an unknown kind or version."""
    wrong = {"kind": random.choice(KINDS)} if random.random() < 0.8 else {"apiVersion": random.choice(VERSIONS)}
    return resource_file(NETWORK, name, {}, **wrong)


def named(random: Random) -> bytes:
    """A resource with an odd name, or with odd metadata."""
    odd = random.choice(NAMES)
    metadata = random.choice([{"name": odd}, {"name": "x", "labels": {str(odd): "y"}}, {"name": "x", "uid": odd}, odd])
    return resource_file(random.choice((NETWORK, POLICY, POOL)), "", {"selector": {"names": ["x"]}}, metadata=metadata)


def valued(random: Random, name: str) -> bytes:
    """A resource with an odd value in one or two fields."""
    chosen = random.choice((NETWORK, NETWORK, POLICY, POOL))
    spec: dict[str, object] = {"selector": {"names": ["x"]}} if chosen == POLICY else {}
    for path in random.sample(_FIELDS[chosen], random.choice((1, 1, 2))):
        *parents, last = path.split(".")
        block = spec
        for parent in parents:
            below = block.setdefault(parent, {})
            if not isinstance(below, dict):
                below = block[parent] = {}
            block = below
        block[last] = _shaped(random, random.choice(VALUES))
    return resource_file(chosen, name, spec)


def _shaped(random: Random, value: object) -> object:
    return random.choice((value, value, [value], {"x": value}, {str(value): "x"}))


def labels(random: Random) -> dict[str, str]:
    """Labels of a Docker network, which may claim that it is ours."""
    found = {random.choice(_LABELS): str(random.choice(NAMES[:24])) for _ in range(random.randrange(3))}
    if random.random() < 0.3:
        found["dockerv6.io/name"] = random.choice(("web", "db", "x0", "*", ""))
    return found


def encoded(random: Random, name: str) -> bytes:
    """A file in an encoding that is not UTF-8, or with characters that YAML forbids."""
    good = resource_file(NETWORK, name, {})
    at = random.randrange(len(good))
    return random.choice(
        (
            good.decode().encode("utf-16"),
            good.decode().encode("utf-32"),
            good[:at] + random.choice((b"\xff", b"\x00", b"\xc3", b"\xed\xa0\x80", b"\x1b", b"\xc2\x85")) + good[at:],
            good[:at],
            json.dumps(
                {"apiVersion": "dockerv6.io/v1alpha1", "kind": NETWORK, "metadata": {"name": "\ud800"}}
            ).encode(),
            b"\x00" * 64,
            bytes(random.randrange(256) for _ in range(64)),
        )
    )


def sized(random: Random, name: str) -> bytes:
    """A file with too much of something."""
    header = f"apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {{name: {name}}}\n".encode()
    return random.choice(
        (
            b"[" + b"1," * 20_000 + b"1]",
            header + b"spec: " + b"[" * 2_000 + b"]" * 2_000,
            header + b"spec: {a: &a [x, x], b: &b [*a, *a], c: &c [*b, *b], d: &d [*c, *c], e: [*d, *d]}",
            b"---\n" * 5_000,
            header + b"spec: {labels: {x: " + b"y" * 200_000 + b"}}",
            header + b"# " + b"x" * (4 << 20),
            header + b"spec: {labels: {" + b", ".join(b"k%d: v" % n for n in range(2_000)) + b"}}",
            b"",
        )
    )
