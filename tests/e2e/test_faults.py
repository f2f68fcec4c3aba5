"""Invalid input and broken hosts are reported with a remedy, and what works keeps working."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import (
    condition,
    eventually,
    has_condition,
    network_id,
    network_yaml,
    our_table,
    pool_yaml,
    resource,
    subnet_of,
)
from tests.lab.net import FAR_ADDRESS, ping
from tests.lab.operator import PROGRAM
from tests.lab.process import as_nobody

if TYPE_CHECKING:
    from tests.lab.lab import Lab

_SUBNET = "fd12:3456:789a:1::/64"

# 20.10-on differs from 20.10-off in its IPv6 rules only, and these tests do not depend on them
pytestmark = pytest.mark.core_cells("20.10-off", "28.5")


# files, pools and the state directory: the engine plays no part
@pytest.mark.core_cells("28.5")
def test_an_invalid_version_keeps_the_last_valid_one_applied(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.wait_ready("ipv6network/blog")
    before = network_id(engine, "blog")
    operator.apply_yaml("blog.yaml", network_yaml("blog", {"egres": {"mode": "None"}}))
    eventually(has_condition(operator, "blog", "Accepted", "False", "InvalidSpec"), "it is reported")
    reported = condition(operator, "blog", "Accepted")
    assert reported is not None
    assert "egress" in reported["message"]
    assert "blog.yaml:" in reported["message"]
    operator.apply_yaml("blog.yaml", "kind: IPv6Network\nmetadata: [unfinished")
    container = engine.run("web", "blog")
    assert ping(engine, container, FAR_ADDRESS)
    assert network_id(engine, "blog") == before
    invalid = operator.cli("validate", str(operator.config_dir), check=False)
    assert invalid.returncode == 1
    assert "blog.yaml:2:22: error: invalid YAML" in invalid.stdout
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.wait_ready("ipv6network/blog")


def test_a_foreign_network_of_the_same_name_is_not_adopted(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    engine.docker("network", "create", "blog")
    before = network_id(engine, "blog")
    operator.start()
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    eventually(has_condition(operator, "blog", "Ready", "False", "ForeignNetwork"), "it is reported")
    assert network_id(engine, "blog") == before
    engine.docker("network", "rm", "blog")
    operator.wait_ready("ipv6network/blog")


def test_overlaps_are_reported_and_nothing_else_is_disturbed(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    engine.docker("network", "create", "--ipv6", "--subnet", "fd12:3456:789a:7::/64", "theirs")
    operator.start()
    operator.apply_yaml("first.yaml", network_yaml("first", {"addressing": {"subnet": _SUBNET}}))
    operator.wait_ready("ipv6network/first")
    operator.apply_yaml("second.yaml", network_yaml("second", {"addressing": {"subnet": _SUBNET}}))
    operator.apply_yaml("third.yaml", network_yaml("third", {"addressing": {"subnet": "fd12:3456:789a:7::/64"}}))
    eventually(has_condition(operator, "second", "Ready", "False", "SubnetOverlap"), "another resource is named")
    eventually(has_condition(operator, "third", "Ready", "False", "SubnetOverlap"), "a Docker network is named")
    theirs = condition(operator, "third", "SubnetAllocated")
    assert theirs is not None
    assert "theirs" in theirs["message"]
    assert subnet_of(engine, "first") == _SUBNET
    operator.remove_yaml("first.yaml")
    operator.wait_ready("ipv6network/second", timeout=90)


@pytest.mark.core_cells("28.5")
def test_pools_unknown_and_exhausted(lab: Lab) -> None:
    operator = lab.operator()
    operator.start()
    operator.apply_yaml("lost.yaml", network_yaml("lost", {"addressing": {"poolRef": {"name": "small"}}}))
    eventually(has_condition(operator, "lost", "Ready", "False", "PoolNotFound"), "the missing pool is reported")
    operator.apply_yaml("pool.yaml", pool_yaml("small", {"prefix": "fd12:3456:789a::/64"}))
    operator.wait_ready("ipv6network/lost")
    operator.apply_yaml("more.yaml", network_yaml("more", {"addressing": {"poolRef": {"name": "small"}}}))
    eventually(has_condition(operator, "more", "Ready", "False", "PoolExhausted"), "the pool is full")
    operator.apply_yaml("pool.yaml", pool_yaml("small", {"prefixes": ["fd12:3456:789a::/64", "fd12:3456:789b::/64"]}))
    operator.wait_ready("ipv6network/more")


@pytest.mark.cells("28.5")
def test_unsupported_fields_are_reported(lab: Lab) -> None:
    operator = lab.operator()
    operator.start()
    operator.apply_yaml("fleet.yaml", network_yaml("fleet", {"hosts": {"matchNames": ["web1"]}}))
    eventually(has_condition(operator, "fleet", "Ready", "False", "NotYetInEffect"), "it is refused")
    reported = condition(operator, "fleet", "Ready")
    assert reported is not None
    assert "spec.hosts.matchNames" in reported["message"]
    assert network_id(lab.engine, "fleet") is None


def test_the_operator_waits_for_an_engine_that_is_not_running_yet(lab: Lab) -> None:
    lab.engine.kill()
    operator = lab.operator()
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.start()
    eventually(has_condition(operator, "blog", "Ready", "False", "EngineUnavailable"), "it waits")
    assert operator.running
    lab.engine.start()
    operator.wait_ready("ipv6network/blog")


@pytest.mark.core_cells("28.5")
def test_two_daemons_do_not_share_a_state_directory(lab: Lab) -> None:
    operator = lab.operator()
    operator.start()
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.wait_ready("ipv6network/blog")
    second = operator.cli("run", check=False)
    assert second.returncode == 1
    assert str(operator.pid) in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.cells("28.5")
def test_neither_the_nft_program_nor_its_library_is_needed(lab: Lab, tmp_path: Path) -> None:
    for name in ("nsenter", "ip6tables-nft-restore"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    operator = lab.operator()
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.start(environment={"PATH": str(tmp_path)})
    operator.wait_ready("ipv6network/blog")
    assert "libnftables" not in Path(f"/proc/{operator.pid}/maps").read_text()


@pytest.mark.cells("28.5")
def test_running_without_root_fails_with_a_message(lab: Lab, tmp_path: Path) -> None:
    directories = {"DOCKERV6_STATE_DIR": str(tmp_path / "state"), "DOCKERV6_CONFIG_DIR": str(tmp_path / "config")}
    tried = subprocess.run(
        lab.engine.namespace.enter(as_nobody([PROGRAM, "run"])),
        env={**os.environ, **directories},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert tried.returncode == 1
    assert "root" in tried.stderr
    assert "Traceback" not in tried.stderr


@pytest.mark.core_cells("28.5")
def test_describe_shows_the_file_and_the_events(lab: Lab) -> None:
    operator = lab.operator()
    operator.start()
    operator.apply_yaml("stack/blog.yaml", network_yaml("blog"))
    operator.wait_ready("ipv6network/blog")
    described = operator.cli("describe", "ipv6network", "blog").stdout
    assert "stack/blog.yaml:1" in described
    assert "NetworkCreated" in described
    assert resource(operator, "blog")["status"]["subnet"] in our_table(lab.engine)
