"""When a cleanup refuses. What it removes is tested in tests/host/test_ipv6nat.py and test_doctor.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dockerv6.daemon import cleanup
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.port import EngineError
from dockerv6.firewall.ipv6nat.presence import IPv6NatPresence
from dockerv6.firewall.ipv6nat.rules import IPv6NatRules
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.port import FirewallRejected

if TYPE_CHECKING:
    from collections.abc import Callable

    from dockerv6.dockerd.port import Engine
    from dockerv6.firewall.nftables.session import NftSession

    Host = Callable[[IPv6NatPresence | None, tuple[str, ...] | None], list[IPv6NatPresence]]

LEFT = IPv6NatPresence(
    (IPv6NatRules(FilterVariant.XTABLES_NFT, (), (("nat", "DOCKER"),), ("br-a",), engine_rules=False),)
)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """Set the detected presence and the suspected containers (None: no engine). Returns the removed items."""

    def made(found: IPv6NatPresence | None, containers: tuple[str, ...] | None) -> list[IPv6NatPresence]:
        removed: list[IPv6NatPresence] = []

        async def detect(_: NftSession) -> IPv6NatPresence | None:
            return found

        async def remove(_: NftSession, presence: IPv6NatPresence) -> None:
            removed.append(presence)

        async def running_suspects(_: Engine) -> tuple[str, ...]:
            if containers is None:
                raise EngineError("no engine")
            return containers

        for function in (detect, remove, running_suspects):
            monkeypatch.setattr(cleanup, function.__name__, function)
        return removed

    return made


def test_it_refuses_while_the_process_runs(host: Host) -> None:
    removed = host(IPv6NatPresence(LEFT.rules, (4711,)), ())
    for dry_run in (True, False):
        with pytest.raises(FirewallRejected, match=r"process 4711.*stop it first"):
            cleanup.docker_ipv6nat(Settings(), dry_run=dry_run)
    assert removed == []


def test_it_refuses_while_a_container_of_that_name_runs(host: Host) -> None:
    removed = host(LEFT, ("stack-ipv6nat-1",))
    with pytest.raises(FirewallRejected, match=r"stack-ipv6nat-1.*stop it first.*rename"):
        cleanup.docker_ipv6nat(Settings(), dry_run=False)
    assert removed == []


@pytest.mark.parametrize("containers", [(), None])
def test_it_removes_what_was_found(host: Host, containers: tuple[str, ...] | None) -> None:
    removed = host(LEFT, containers)
    assert cleanup.docker_ipv6nat(Settings(), dry_run=True) == LEFT
    assert removed == []
    assert cleanup.docker_ipv6nat(Settings(), dry_run=False) == LEFT
    assert removed == [LEFT]


def test_nothing_found_is_success(host: Host) -> None:
    host(None, ("ipv6nat",))
    assert cleanup.docker_ipv6nat(Settings(), dry_run=False) is None
