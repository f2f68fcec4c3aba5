"""Valid inputs of the targets, from which others are made."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import yaml

from dockerv6.firewall.diff import diff
from dockerv6.firewall.nftables.commands import commands
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.lib.netlink import attribute, message
from tests.unit.firewall.intents import EVERYTHING

_EXAMPLES = sorted((Path(__file__).parents[2] / "manifests/examples").glob("*.yaml"))
_NETWORK = {
    "Id": "a" * 64,
    "Name": "net",
    "Created": "2026-01-02T03:04:05.678901234+01:00",
    "Driver": "bridge",
    "EnableIPv6": True,
    "Internal": False,
    "IPAM": {"Config": [{"Subnet": "2001:db8::/64", "Gateway": "2001:db8::1/64", "IPRange": "2001:db8::/80"}]},
    "Containers": {"b" * 64: {"Name": "web", "IPv4Address": "192.0.2.2/24", "IPv6Address": "2001:db8::2/64"}},
    "Options": {"com.docker.network.bridge.name": "br-x"},
    "Labels": {"app": "blog"},
}
_ENDPOINT = {
    "NetworkID": "a" * 64,
    "GlobalIPv6Address": "2001:db8::2",
    "GwPriority": 1,
    "Aliases": ["web", "b" * 12],
    "Links": ["db:db"],
    "IPAMConfig": {"IPv6Address": "2001:db8::2", "LinkLocalIPs": ["fe80::2"]},
    "DriverOpts": {"com.docker.network.endpoint.sysctls": "net.ipv6.conf.IFNAME.disable_ipv6=0"},
}
_CONTAINER = {
    "Id": "b" * 64,
    "ImageID": "sha256:c",
    "Names": ["/web", "/linker/alias"],
    "Created": 1767225600,
    "Labels": {"com.docker.compose.project": "p", "com.docker.compose.config-hash": "h"},
    "Config": {"Labels": {"com.docker.compose.project": "p"}, "MacAddress": "02:42:ac:11:00:02"},
    "HostConfig": {"NetworkMode": "net"},
    "Ports": [{"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
    "NetworkSettings": {"Networks": {"net": _ENDPOINT}},
    "State": {"Running": True},
}
_EVENT = {"Type": "network", "Action": "connect", "Actor": {"ID": "a" * 64, "Attributes": {"name": "net"}}}
_INFO = {"Name": "host", "Version": "28.5.1", "ApiVersion": "1.51", "FirewallBackend": {"Driver": "nftables+firewalld"}}

YAML = tuple(path.read_bytes() for path in _EXAMPLES)
COMPOSE = (
    b"""
services:
  web: {image: web, ports: ["127.0.0.1:8080:80"], networks: {front: {aliases: [www]}, default: {}}}
  db: {image: db, network_mode: host, profiles: [debug]}
networks:
  default: {labels: ["a=b"], driver_opts: {com.docker.network.driver.mtu: 1400}}
  front:
    name: edge
    enable_ipv6: true
    internal: false
    ipam: {config: [{subnet: "fd12:3456:789a:1::/64", gateway: "fd12:3456:789a:1::1", aux_addresses: {r: "fd12::5"}}]}
  other: {external: {name: shared}}
""",
    b'{"name": "shop", "services": {"web": {}}, "networks": {"default": {"enable_ipv6": true, "ipam": {}}}}',
)
RESOURCES = tuple(json.dumps(each).encode() for text in YAML for each in yaml.safe_load_all(text) if each)
ENGINE = tuple(json.dumps(each).encode() for each in ([_NETWORK], _NETWORK, [_CONTAINER], _CONTAINER, _EVENT, _INFO))

_PING = b"HTTP/1.1 200 OK\r\nDate: Fri, 02 Jan 2026 03:04:05 GMT\r\nContent-Length: 2\r\n\r\nOK"
_LINE = json.dumps(_EVENT).encode() + b"\n"
EVENT_STREAMS = (
    _PING + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(_LINE), _LINE),
    _PING + b"HTTP/1.1 200 OK\r\n\r\n" + 2 * _LINE,
    b'HTTP/1.1 500 Internal Server Error\r\n\r\n{"message": "rpc error: code = Unknown desc = no\\n* x"}',
)


def _nftables() -> bytes:
    """A ruleset of ours as messages. A dump has the same types and attributes."""
    sent = commands(diff(render(EVERYTHING), EMPTY).operations)
    return b"".join(message(0xA00 | each.kind, 0, 1, struct.pack("=BBH", 1, 0, 0) + each.attributes) for each in sent)


_HOP = struct.pack("=HBBI", 8, 0, 0, 1)
_ROUTE = struct.pack("=BBBBBBBBI", 10, 64, 0, 0, 254, 3, 0, 1, 0)
_LINK = struct.pack("=BxHiII", 0, 1, 1, 1, 0)
_RULESET = _nftables()
NETLINK = (
    *(_RULESET[start : start + 8192] for start in range(0, 16384, 8192)),
    message(24, 0, 1, _ROUTE + attribute(1, bytes(16)) + attribute(9, _HOP) + attribute(4, struct.pack("=I", 1))),
    message(20, 0, 1, struct.pack("=BBBBI", 10, 64, 0, 0, 1) + attribute(1, bytes(16))),
    message(16, 0, 1, _LINK + attribute(3, b"lo\0")),
    message(80, 0, 1, b"\x0a\0\0\0" + attribute(1, struct.pack("=i", -1))),
    message(0xA0F, 0, 1, bytes(4) + attribute(1, struct.pack(">I", 7))),
)
LEGACY = (bytes(4),)
_ONE = b"i" + bytes(7) + b"\1"
_LARGEST = b"i\x7f" + b"\xff" * 7
_OBJECT = b"tIPv6Network\ttb\tt%s\ttd\t%s\ttf.yaml\ti\1\tf1767225600\tn\tn\tt\tt%s\t%s"
ROWS = (
    b'tIPv6Network\tta\tt{"spec": {}}\ttd\ti\1\ttf.yaml\ti\1\tf1767225600\tn\tn\tt\tt{}\ti\1',
    b"i\1\ttIPv6Network\tta\ttNormal\ttReason\ttmessage\ti\1\tf1\tf2",
    b"tproblems\ttall\tt{}",
    b"towner\ttpool\tb" + bytes(16) + b"\tb" + bytes(8) + b"\xff" * 8 + b"\ttbound\tf1\ti\1",
    b"tpool\tb" + bytes(16) + b"\tb" + bytes(8) + b"\xff" * 8,
    b"i" + bytes(7) + b"\7",
    _OBJECT % (b'{"a":NaN}', _ONE, b'{"a":[1e999]}', _ONE),
    _OBJECT % (b"{}", _LARGEST, b"{}", _LARGEST),
    _OBJECT % (b"{}", b"t1", b"{}", b"f1.5"),
    b"towner\ttpool\tb" + bytes(16) + b"\tb" + bytes(8) + b"\xff" * 8 + b"\ttbound\tf1\t" + _LARGEST,
)
WORDS = (
    *(b"ipv6network/blog pool/a", b"ipv6networks blog", b"all", b"app=blog,tier!=test,x in (a,b),y notin (c),!z,w"),
    *(b"1h30m", b"500ms", b"7d", b"0", b"90", b"0x10000000", b"65533", b"2026-11-23T02:43:60.5+01:00", b"/var/lib/x"),
)
ADDRESSES = (
    *(b"unix:///var/run/docker.sock", b"unix://", b"tcp://192.0.2.1:2375", b"tcp://[2001:db8::1]:2376/path?q#f"),
    *(b"ssh://user@host", b"npipe:////./pipe/docker", b"http+unix://%2Frun", b"fd://3"),
)
