from ipaddress import IPv4Address, IPv6Address

from dockerv6.controller.endpoints import (
    RememberedEndpoint,
    attachments_to_restore,
    forget_endpoint,
    forget_endpoints,
    keep_endpoints,
    merge_endpoints,
    pending_attachments,
    remembered_endpoints,
)
from dockerv6.dockerd.model import Attachment
from dockerv6.store.memory import MemoryStore
from tests.unit.planning.scene import container

WEB, DB = container("web"), container("db")
WINDOW = 120.0
EVERYTHING = Attachment(
    container_id="c1",
    container_name="db",
    running=True,
    aliases=("db", "postgres"),
    links=("web:w",),
    static_ipv4=IPv4Address("192.0.2.7"),
    static_ipv6=IPv6Address("fd00::7"),
    driver_opts={"a": "b"},
    gw_priority=3,
    mac_address="02:42:00:00:00:07",
    link_local_ips=("fe80::7",),
)


async def test_everything_that_a_reattachment_must_say_is_kept() -> None:
    store = MemoryStore()
    entries = (
        RememberedEndpoint(EVERYTHING),
        RememberedEndpoint(WEB, gone_since=7.5),
        RememberedEndpoint(DB, pending=True),
    )
    await keep_endpoints(store, "blog", entries)
    assert await remembered_endpoints(store, "blog") == entries
    await forget_endpoint(store, "blog", WEB.container_id)
    assert [r.attachment for r in await remembered_endpoints(store, "blog")] == [EVERYTHING, DB]
    await forget_endpoints(store, "blog")
    assert await remembered_endpoints(store, "blog") == ()


async def test_a_damaged_entry_is_left_out() -> None:
    store = MemoryStore()
    await keep_endpoints(store, "blog", (RememberedEndpoint(WEB),))
    record = await store.record("endpoints", "blog") or {}
    entries = record["endpoints"]
    assert isinstance(entries, list)
    await store.put_record("endpoints", "blog", {"endpoints": [7, {}, {**entries[0], "ipv6": "x"}, *entries]})
    assert await remembered_endpoints(store, "blog") == (RememberedEndpoint(WEB),)


def test_attached_containers_are_remembered_as_observed() -> None:
    assert merge_endpoints((RememberedEndpoint(WEB, 5.0),), (WEB, DB), 10, WINDOW) == (
        RememberedEndpoint(WEB),
        RememberedEndpoint(DB),
    )


def test_a_detached_container_is_remembered_with_its_time() -> None:
    left = merge_endpoints((RememberedEndpoint(WEB),), (), 10, WINDOW)
    assert left == (RememberedEndpoint(WEB, 10),)
    assert merge_endpoints(left, (), 20, WINDOW) == left


def test_a_container_that_was_detached_long_ago_is_forgotten() -> None:
    assert merge_endpoints((RememberedEndpoint(WEB, 10),), (), 10 + WINDOW, WINDOW) == ()


def test_a_container_that_we_detached_is_remembered_until_it_is_attached() -> None:
    due = (RememberedEndpoint(WEB, pending=True),)
    assert merge_endpoints(due, (), 1e9, WINDOW) == due
    assert merge_endpoints(due, (WEB,), 1e9, WINDOW) == (RememberedEndpoint(WEB),)


def test_running_containers_and_those_that_we_detached_are_restored() -> None:
    entries = (
        RememberedEndpoint(WEB),
        RememberedEndpoint(DB),
        RememberedEndpoint(EVERYTHING, pending=True),
    )
    assert attachments_to_restore(entries, frozenset({WEB.container_id})) == (WEB, EVERYTHING)
    assert pending_attachments(entries) == (EVERYTHING,)
