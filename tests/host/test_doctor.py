"""The doctor in an empty network namespace: it finds out what it may, and changes nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dockerv6.daemon import checks, cleanup, doctor
from dockerv6.daemon.findings import CheckStatus
from dockerv6.daemon.settings import Settings
from dockerv6.firewall.port import FirewallRejected
from dockerv6.firewall.xtables import libiptc
from dockerv6.firewall.xtables.legacy import used_tables
from tests.host.xtables import OFF, VARIANTS, recorded, restore, saved

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("private_netns")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "config").mkdir()
    return Settings(
        config_dirs=(str(tmp_path / "config"),),
        state_dir=str(tmp_path / "state"),
        docker_host=f"unix://{tmp_path}/docker.sock",
    )


def statuses(settings: Settings) -> dict[str, CheckStatus]:
    return {check.name: check.status for check in doctor.examine(settings)}


def test_without_an_engine_everything_else_is_looked_at(settings: Settings) -> None:
    found = statuses(settings)
    assert [name for name, status in found.items() if status is CheckStatus.FAIL] == ["engine"]
    assert {"firewall backend", "host filter", "docker-ipv6nat", "forwarding", "daemon"} <= found.keys()
    assert (found["uplink"], found["resources"], found["daemon"]) == (CheckStatus.WARN,) * 3


def test_looking_makes_no_table(settings: Settings) -> None:
    doctor.examine(settings)
    assert subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout == ""
    assert not used_tables() & {"filter"}


def test_who_may_not_look_into_the_packet_filter_says_nothing_of_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_capabilities", lambda: 1 << checks.CAP_NET_RAW)
    found = statuses(settings)
    assert found["privileges"] is CheckStatus.FAIL
    assert not {"nf_tables", "firewall backend", "host filter", "docker-ipv6nat"} & found.keys()


def test_a_missing_python_iptables_is_a_finding_where_the_engine_writes_legacy_tables(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "iptc", None)
    assert "legacy tables" not in statuses(settings)
    restore("legacy", "*nat\n:DOCKER - [0:0]\n-A OUTPUT -j DOCKER\nCOMMIT\n", family="ip")
    assert "legacy tables" not in statuses(settings)
    restore("legacy", "*filter\n:FORWARD DROP [0:0]\n:DOCKER - [0:0]\nCOMMIT\n")
    (found,) = (each for each in doctor.examine(settings) if each.name == "legacy tables")
    assert (found.status, found.remedy) == (CheckStatus.FAIL, (libiptc.REMEDY,))
    monkeypatch.delitem(sys.modules, "iptc")
    assert statuses(settings)["legacy tables"] is CheckStatus.OK


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_cleanup_needs_no_engine(settings: Settings, variant: str) -> None:
    restore(variant, recorded(f"{OFF}-beside"))
    before = saved(variant)
    planned = cleanup.docker_ipv6nat(settings, dry_run=True)
    assert saved(variant) == before
    assert cleanup.docker_ipv6nat(settings, dry_run=False) == planned
    assert saved(variant) == recorded(f"{OFF}-left")
    assert cleanup.docker_ipv6nat(settings, dry_run=False) is None


def test_a_cleanup_refuses_while_docker_ipv6nat_runs(settings: Settings, docker_ipv6nat: int) -> None:
    restore("nft", recorded(f"{OFF}-beside"))
    before = saved("nft")
    with pytest.raises(FirewallRejected, match=rf"process {docker_ipv6nat}\b.*stop it first"):
        cleanup.docker_ipv6nat(settings, dry_run=False)
    assert saved("nft") == before
