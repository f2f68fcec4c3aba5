"""Stored records: rows of earlier versions are read, and damage is noticed."""

import json
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from dockerv6.controller.endpoints import (
    ENDPOINTS,
    MEMBERS,
    RememberedEndpoint,
    keep_endpoints,
    recorded_members,
    remembered_endpoints,
)
from dockerv6.controller.inventory import TRACKED_PREFIXES, Inventory
from dockerv6.controller.records import RecordCodec
from dockerv6.controller.recreations import RECREATIONS, InFlightRecreations
from dockerv6.dockerd.model import Attachment, NetworkSpec, SubnetConfig
from dockerv6.ipam.memory import MemoryLedger
from dockerv6.planning.addressing.tracked_prefixes import PreviousPrefix, TrackedPrefix
from dockerv6.planning.docker.recreation import PreviousNetwork
from dockerv6.store.memory import MemoryStore
from tests.fakes.clock import FakeClock

# Rows as they stand in state files, written before records had a codec.

ENDPOINTS_ROW = """{"endpoints": [
  {"containerId": "c1", "containerName": "db", "running": true, "aliases": ["db", "postgres"], "links": ["web:w"],
   "ipv4": null, "ipv6": "fd00::2", "staticIpv4": "192.0.2.7", "staticIpv6": "fd00::7", "driverOpts": {"a.b_c": "d"},
   "gwPriority": 3, "macAddress": "02:42:00:00:00:07", "linkLocalIps": ["fe80::7"], "goneSince": 7.5, "pending": false},
  {"containerId": "c2", "containerName": "web", "running": false, "aliases": [], "links": [], "ipv4": null,
   "ipv6": null, "staticIpv4": null, "staticIpv6": null, "driverOpts": {}, "gwPriority": 0, "macAddress": null,
   "linkLocalIps": [], "goneSince": null, "pending": true}
]}"""
ENDPOINTS_VALUE = (
    RememberedEndpoint(
        Attachment(
            container_id="c1",
            container_name="db",
            running=True,
            aliases=("db", "postgres"),
            links=("web:w",),
            ipv6=IPv6Address("fd00::2"),
            static_ipv4=IPv4Address("192.0.2.7"),
            static_ipv6=IPv6Address("fd00::7"),
            driver_opts={"a.b_c": "d"},
            gw_priority=3,
            mac_address="02:42:00:00:00:07",
            link_local_ips=("fe80::7",),
        ),
        gone_since=7.5,
    ),
    RememberedEndpoint(Attachment("c2", "web", running=False), pending=True),
)

RECREATION_ROW = """{"pool": "isp", "subnet": "2001:db8:a00:7::/64", "name": "blog", "driver": "macvlan",
  "internal": true, "attachable": true, "enableIpv4": false, "enableIpv6": true,
  "options": {"parent": "eth0"}, "labels": {"dockerv6.io/name": "blog"},
  "ipam": [{"subnet": "192.0.2.0/25", "gateway": "192.0.2.1", "ipRange": "192.0.2.64/26",
            "auxAddresses": {"router": "192.0.2.2"}},
           {"subnet": "2001:db8:a00:7::/64", "gateway": null, "ipRange": null, "auxAddresses": {}}]}"""
RECREATION_VALUE = PreviousNetwork(
    NetworkSpec(
        "blog",
        driver="macvlan",
        internal=True,
        attachable=True,
        enable_ipv4=False,
        ipam=(
            SubnetConfig(
                IPv4Network("192.0.2.0/25"),
                IPv4Address("192.0.2.1"),
                IPv4Network("192.0.2.64/26"),
                {"router": "192.0.2.2"},
            ),
            SubnetConfig(IPv6Network("2001:db8:a00:7::/64")),
        ),
        options={"parent": "eth0"},
        labels={"dockerv6.io/name": "blog"},
    ),
    IPv6Network("2001:db8:a00:7::/64"),
    "isp",
)

PREFIX_ROW = """{"interface": "eth0", "prefix": "2001:db8:1::/64", "since": 1800000000.0, "onLink": false,
  "withdrawn": true, "goneSince": 1799999997.0, "candidate": "2001:db8:2::/64", "candidateSince": 1799999998,
  "changes": [1799999500.0, 1799999909.5],
  "former": [{"prefix": "2001:db8:3::/64", "until": 1800000060.0}, {"prefix": "2001:db8:4::/64", "until": null}]}"""
PREFIX_VALUE = TrackedPrefix(
    "eth0",
    IPv6Network("2001:db8:1::/64"),
    1_800_000_000.0,
    on_link=False,
    withdrawn=True,
    gone_since=1_799_999_997.0,
    candidate=IPv6Network("2001:db8:2::/64"),
    candidate_since=1_799_999_998.0,
    changes=(1_799_999_500.0, 1_799_999_909.5),
    former=(
        PreviousPrefix(IPv6Network("2001:db8:3::/64"), 1_800_000_060.0),
        PreviousPrefix(IPv6Network("2001:db8:4::/64"), None),
    ),
)

CODEC = RecordCodec(TrackedPrefix)
ROW = json.loads(PREFIX_ROW)


class TestEarlierVersions:
    async def test_endpoints(self) -> None:
        store = MemoryStore()
        await store.put_record(ENDPOINTS, "blog", json.loads(ENDPOINTS_ROW))
        assert await remembered_endpoints(store, "blog") == ENDPOINTS_VALUE

    async def test_members(self) -> None:
        store = MemoryStore()
        await store.put_record(MEMBERS, "blog", {"containers": ["c1", "c2"]})
        assert await recorded_members(store, "blog") == {"c1", "c2"}

    async def test_a_recreation(self) -> None:
        store = MemoryStore()
        await store.put_record(RECREATIONS, "blog", json.loads(RECREATION_ROW))
        recreations = InFlightRecreations(store)
        await recreations.load()
        assert await recreations.previous("blog") == RECREATION_VALUE

    async def test_a_tracked_prefix(self) -> None:
        store = MemoryStore()
        await store.put_record(TRACKED_PREFIXES, "eth0", ROW)
        inventory = Inventory(store, MemoryLedger(), FakeClock())
        await inventory.load()
        assert inventory.holdings.tracked == {"eth0": PREFIX_VALUE}

    async def test_rows_are_written_as_before_so_that_a_downgrade_reads_them(self) -> None:
        store = MemoryStore()
        await keep_endpoints(store, "blog", ENDPOINTS_VALUE)
        await InFlightRecreations(store).remember("blog", RECREATION_VALUE)
        assert await store.record(ENDPOINTS, "blog") == json.loads(ENDPOINTS_ROW)
        assert await store.record(RECREATIONS, "blog") == json.loads(RECREATION_ROW)
        assert CODEC.encode(PREFIX_VALUE) == ROW


class TestDamage:
    @pytest.mark.parametrize("field", ["interface", "prefix", "since"])
    def test_a_missing_required_field(self, field: str) -> None:
        assert CODEC.decode({k: v for k, v in ROW.items() if k != field}) is None

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("interface", 7),
            ("prefix", None),
            ("prefix", "2001:db8::1/64"),
            ("prefix", "192.0.2.0/24"),
            ("since", "yesterday"),
            ("since", True),
            ("since", float("nan")),
            ("since", 10**400),
            ("onLink", "yes"),
            ("withdrawn", 1),
            ("goneSince", []),
            ("candidate", "?"),
            ("candidateSince", None),
            ("changes", "123"),
            ("changes", [None]),
            ("former", {}),
            ("former", ["2001:db8::/64"]),
            ("former", [{"prefix": "2001:db8::/64"}]),
            ("former", [{"prefix": "2001:db8::/64", "until": "soon"}]),
        ],
    )
    def test_a_value_of_another_type(self, field: str, value: object) -> None:
        assert CODEC.decode({**ROW, field: value}) is None

    @pytest.mark.parametrize("record", [None, 7, "x", []])
    def test_no_object(self, record: object) -> None:
        assert CODEC.decode(record) is None

    def test_a_field_of_a_later_version_is_ignored(self) -> None:
        assert CODEC.decode({**ROW, "later": 1}) == PREFIX_VALUE
