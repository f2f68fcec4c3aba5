"""A person who knows kubectl manages a network with the daemon and a real engine, without writing into a directory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually, network_id, network_yaml, our_table, subnet_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.lab import Lab

pytestmark = [pytest.mark.cells("28.5"), pytest.mark.usefixtures("installed_program")]

NAME = "ipv6network.dockerv6.io/blog"


def test_a_network_from_apply_to_delete(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    assert operator.cli("apply", "-f", "-", stdin=network_yaml("blog")).stdout == f"{NAME} created\n"
    assert operator.cli("wait", "v6net/blog", "--timeout=60s").stdout == f"{NAME} condition met\n"
    assert network_id(engine, "blog")

    changed = network_yaml("blog", {"internal": True})
    assert operator.cli("apply", "-f", "-", "--dry-run", stdin=changed).stdout == f"{NAME} configured (dry run)\n"
    operator.cli("apply", "-f", "-", stdin=changed)
    operator.cli("wait", "v6net/blog", "--for=jsonpath={.spec.internal}=true", "--timeout=60s")
    operator.cli("wait", "v6net/blog", "--timeout=60s")
    shown = operator.cli("get", "v6net", "-o", "jsonpath={.items[*].status.subnet}").stdout
    assert engine.client().inspect_network("blog")["Internal"]
    assert shown == subnet_of(engine, "blog")

    versions = json.loads(operator.cli("version", "-o", "json").stdout)
    assert versions["daemonVersion"] == {"version": versions["clientVersion"]["version"], "pid": operator.pid}
    assert versions["engineVersion"]["version"].startswith("28.5")

    assert operator.cli("delete", "v6net", "blog", "--timeout=60s").stdout == f"{NAME} deleted\n"
    assert network_id(engine, "blog") is None  # delete has waited
    assert operator.cli("get", "v6net", "-o", "name").stdout == ""


def test_a_suspension_survives_a_restart_and_reconcile_repairs(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.wait_ready("ipv6network/blog")
    before = our_table(engine)
    assert operator.cli("suspend", "v6net/blog").stderr == ""
    eventually(lambda: (condition(operator, "blog", "Ready") or {}).get("reason") == "Suspended", "get shows it")
    operator.stop()
    operator.start()
    operator.apply_yaml("blog.yaml", network_yaml("blog", {"internal": True}))
    operator.cli("wait", "v6net/blog", "--for=jsonpath={.spec.internal}=true", "--timeout=60s")
    reconciled = operator.cli("reconcile", "v6net/blog")
    assert "Suspended" in reconciled.stderr
    assert not engine.client().inspect_network("blog")["Internal"]
    assert our_table(engine) == before

    assert operator.cli("resume", "v6net/blog").stdout == f"{NAME} resumed\n"
    operator.wait_ready("ipv6network/blog")
    eventually(lambda: engine.client().inspect_network("blog")["Internal"], "the change is applied")
    assert operator.cli("reconcile", "v6net/blog").stdout == f"{NAME} reconciled\n"
    assert operator.cli("diff").returncode == 0


def test_a_suspended_network_is_deleted_when_it_is_resumed(lab: Lab, tmp_path: Path) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.wait_ready("ipv6network/blog")
    before = network_id(engine, "blog"), our_table(engine)
    operator.cli("suspend", "v6net/blog")
    refused = operator.cli("delete", "v6net/blog", check=False)
    assert (refused.returncode, "run `dockerv6 resume ipv6network/blog` first" in refused.stderr) == (1, True)
    unread = tmp_path / "unread"
    refused = operator.cli("apply", "-f", "-", "--config-dir", str(unread), check=False, stdin=network_yaml("shop"))
    assert (refused.returncode, "would have no effect" in refused.stderr, unread.exists()) == (1, True, False)

    operator.remove_yaml("blog.yaml")
    eventually(
        lambda: (condition(operator, "blog", "Reconciling") or {}).get("reason") == "Suspended", "its deletion waits"
    )
    assert (network_id(engine, "blog"), our_table(engine)) == before
    operator.cli("resume", "v6net/blog")
    operator.cli("wait", "v6net/blog", "--for=delete", "--timeout=60s")
    assert network_id(engine, "blog") is None
