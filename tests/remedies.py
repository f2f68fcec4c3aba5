"""Which commands the product's messages offer, found in its source, and which test pastes each of them.

Descriptions of fields (`api`), the help of the command line (`cli.commands`) and its answers to commands of other
programs (`cli.foreign_words`) explain, and are no remedies.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
_SOURCE = ROOT / "operator" / "dockerv6"
_EXPLAINING = ("api", "cli/commands", "cli/foreign_words.py")
_PROGRAMS = (
    *("ip6tables(?:-nft|-legacy)?", "ip", "nft", "sysctl -w", "modprobe", "firewall-cmd", "ufw", "systemctl", "docker"),
    *("dockerd", "mkdir -p", "chmod", "chown", "setcap", "ss", "fuser", "journalctl", "kill"),
    r"dockerv6(?= (?:apply|cleanup|describe|doctor|events|plan|prune|reconcile|resume|run|uninstall|validate)\b)",
)
_BEFORE = r"^|[`(]|\b(?:run|with|remove it:|allow it:|up:|use|2:|for it:|it:)\s"
_COMMAND = re.compile(rf"(?:{_BEFORE})((?:{'|'.join(_PROGRAMS)}) [-a-z{{/][^`,;)(\n]*)")

FLOWS, ROUTES = "tests/host/test_flow_problems.py", "tests/host/test_route_conflicts.py"
HOST = "tests/host/test_remedies.py"
FIX = "tests/e2e/test_doctor_fix.py"
ENGINE, RESTARTED = "tests/e2e/reports/test_remedies.py", "tests/e2e/reports/test_nftables_70.py"
_FIREWALLD = f"{ENGINE}::test_firewalld_lets_a_network_pass_after_its_remedy_and_after_reloads"

PASTED: Mapping[str, str] = {
    "nft insert rule {} {} accept": f"{FLOWS}::test_what_lets_nothing_pass_is_named_and_its_remedy_works",
    "firewall-cmd --permanent --zone=trusted --change-interface={}": _FIREWALLD,
    "firewall-cmd --reload": _FIREWALLD,
    "ip -6 route del {}{}{}": "tests/e2e/reports/test_moby_46615.py::test_the_route_is_named_while_it_is_there",
    "ip -6 route del {} {} dev lo metric {}{}": f"{ROUTES}::test_what_drops_is_named_and_the_command_removes_it",
    "ip -6 rule del pref {} {}{}": f"{ROUTES}::test_what_drops_is_named_and_the_command_removes_it",
    "ip -6 rule add to {} lookup main pref {}": f"{ROUTES}::test_what_drops_is_named_and_the_command_removes_it",
    "ip -6 route add {} dev {}": f"{ROUTES}::test_a_missing_route_is_named_and_the_command_adds_it",
    "ip -6 addr add {}/128 dev {} preferred_lft 0": f"{HOST}::test_a_missing_snat_address_is_added_and_the_host_keeps"
    "_its_source_address",
    "ip link set {} up": f"{HOST}::test_a_link_that_is_down_is_set_up",
    "ip link set {} nomaster": f"{HOST}::test_what_ends_the_source_validation_is_removed",
    "ip address del {} dev {}": f"{HOST}::test_what_ends_the_source_validation_is_removed",
    "sysctl -w {}": f"{HOST}::test_ipv6_that_is_off_is_named_and_turned_on_again",
    **dict.fromkeys(
        (
            "sysctl -w net.ipv4.ip_forward=1",
            "sysctl -w net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.forwarding=1",
            "sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0",
        ),
        f"{HOST}::test_sysctls_of_refusals_have_the_other_value_after_the_command",
    ),
    **dict.fromkeys(
        ("systemctl restart {}", "dockerv6 doctor --fix"),
        f"{FIX}::test_settings_that_an_older_engine_would_not_start_with_are_completed",
    ),
    "systemctl restart docker": f"{RESTARTED}::test_the_flush_is_noticed_and_nothing_is_taken_away_until_the_engine_is"
    "_restarted",
    "docker network disconnect {} {}": f"{ENGINE}::test_containers_that_a_deletion_waits_for_are_detached_as_it_says",
    **dict.fromkeys(
        (
            "docker network rm {name}",
            "docker network disconnect --force {network} {name}",
            "docker network prune",
        ),
        f"{ENGINE}::test_what_the_engine_refuses_it_accepts_after_the_remedy",
    ),
    **dict.fromkeys(
        ("mkdir -p {}", "chmod go-w {}", "chown -h root {}"),
        f"{HOST}::test_sources_that_are_refused_are_accepted_after_the_commands",
    ),
    "dockerd --bridge-accept-fwmark={}/{}": f"{FLOWS}::test_engine_29_drops_until_it_accepts_our_mark",
    "docker compose config > resolved.yaml": "tests/e2e/test_import.py::test_the_networks_of_a_compose_file_are"
    "_imported_before_it_runs",
    "dockerv6 resume ipv6network/{}": "tests/e2e/test_command_line.py::test_a_suspension_survives_a_restart_and"
    "_reconcile_repairs",
    "dockerv6 prune --confirm": "tests/e2e/test_deletion.py::test_a_mass_deletion_waits_for_confirmation",
    "dockerv6 cleanup docker-ipv6nat": "tests/e2e/test_ipv6nat.py::test_a_host_migrates_without_interruption_and_no"
    "_rule_is_left",
    "kill {}": "tests/host/test_nftables_damage.py::test_the_owner_of_our_table_is_named_and_stopping_it_helps",
}
"""The test that pastes a command and checks that what it was offered for is over, by command."""

SHOWS = frozenset(
    {
        "docker container inspect {}",
        "docker info",
        "docker network inspect",
        "docker network inspect {}",
        "docker network ls",
        "docker exec {} ss -lnt",
        "dockerv6 describe",
        "dockerv6 describe ipv6network/{}",
        "dockerv6 doctor",
        "dockerv6 plan --out FILE",
        "dockerv6 validate",
        "dockerv6 validate {}",
        "fuser -v /run/xtables.lock",
        "docker network ls lists them",
        "ip -6 address show dev {}",
        "ip -6 route",
        "ip -6 rule",
        "ip -d link",
        "ip6tables --version",
        "journalctl --unit docker",
        "journalctl --unit {}",
        "ss -lntu",
        "ss -lntup",
        "ss -xap | grep @dockerv6",
    }
)
"""Commands that only show something: nothing can be over after them."""

_MODULE = "a namespace can neither load nor unload the modules of the kernel"
_START = "an option for the start of a container, to be added to the command by which it is started"
_PART = "the message has no name to put in: which one it is, is the user's choice"
NOT_PASTED: Mapping[str, str] = {
    "modprobe br_netfilter": _MODULE,
    "modprobe ip6table_{}": _MODULE,
    "modprobe ip_tables ip6_tables iptable_nat ip6table_nat": _MODULE,
    "modprobe nf_tables": _MODULE,
    "modprobe {}": _MODULE,
    "ip link add link {} name {} type vlan id {}": "the lab's kernel may lack the module 8021q",
    "docker network create --opt com.docker.network.driver.mtu={}": _START,
    "docker run --cap-add DAC_READ_SEARCH": _START,
    "docker run --cap-add NET_ADMIN": _START,
    "docker run --cap-add NET_ADMIN --cap-add NET_RAW": _START,
    "docker run --ip": _START,
    "docker run --ip6": _START,
    "docker run --label": _START,
    "docker network disconnect": _PART,
    "docker network rm": _PART,
    "docker network rm <id>": _PART,
    "ip -6 route add default via <router> dev <interface>": _PART,
    "docker network rm {}": "an event that is over when it is read; `docker network rm {name}` is pasted",
    "docker rm -f ipv6nat": "the lab runs docker-ipv6nat without a container",
    "docker system prune": "the lab's engines share the disk of the machine",
    "dockerv6 apply": "the first run of a new installation, which every end-to-end test makes",
    "dockerv6 run": "the same",
    "systemctl start dockerv6": "the lab's engines run without systemd; `test_packaging` starts the unit",
}
"""Why no test pastes a command."""


def offered() -> Mapping[str, str]:
    """The commands in string literals, with `{}` in place of each value: the module of each."""
    found: dict[str, str] = {}
    for file in sorted(_SOURCE.rglob("*.py")):
        module = str(file.relative_to(_SOURCE))
        if not module.startswith(_EXPLAINING):
            for text in _literals(ast.parse(file.read_text())):
                found |= {command.strip(): module for command in _COMMAND.findall(text)}
    return found


def _literals(tree: ast.Module) -> Iterator[str]:
    """The strings that are no docstrings and no parts of others."""
    formatted = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for node in formatted for part in ast.walk(node) if part is not node}
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in parts or id(node) in documentation:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
