"""The output of commands, character for character; see `tests.golden.files`."""

import fcntl
import os
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from dockerv6.api.conditions import ConditionType
from dockerv6.daemon import preview
from dockerv6.daemon.preview import Preview
from dockerv6.dockerd.model import Attachment, NetworkSpec, SubnetConfig
from dockerv6.planning.plan import Drift, Finding, Plan
from dockerv6.planning.steps import (
    AddProxyNeighbour,
    AttachEndpoint,
    BindSubnet,
    DetachEndpoint,
    RememberNetwork,
    RemoveNetwork,
    RemoveProxyNeighbour,
    SetSysctl,
    UpdateFirewall,
)
from dockerv6.store.lock import LOCK_FILE
from dockerv6.store.model import EventType
from tests.golden.files import GOLDEN, UPDATE, check
from tests.unit.cli.harness import NOW, Daemon, condition, run, stored
from tests.unit.planning.scene import lacking

FOLDER = GOLDEN / "cli"
BLOG = ("IPv6Network", "blog")
SUBNET = IPv6Network("fd12:3456:789a:1::/64")

SCREENS = {
    "get-table": "get v6net",
    "get-wide": "get v6net -o wide",
    "get-pools-wide": "get v6pool -o wide",
    "get-all": "get all",
    "get-name": "get all -o name",
    "get-json": "get v6net blog -o json",
    "get-yaml-list": "get v6pool default -o yaml",
    "describe-network": "describe v6net blog",
    "describe-invalid": "describe v6net broken",
    "describe-pool": "describe v6pool default",
    "describe-pool-following": "describe v6pool home",
    "events-table": "events",
    "events-json": "events v6net blog -o json",
    "prune": "prune",
    "wait-timeout": "wait --all --timeout=1s",
    "plan-text": "plan",
    "plan-json": "plan -o json",
    "help": "--help",
}


@pytest.fixture
def _running(tmp_path: Path) -> Iterator[None]:
    """A daemon has the lock of the state directory."""
    with (tmp_path / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory with resources in various states."""
    for name in list(os.environ):
        if name.startswith("DOCKERV6_") and name != UPDATE:
            monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKERV6_STATE_DIR", str(tmp_path))
    daemon = Daemon(tmp_path)
    domain = [
        condition("Ready", "True", "ReconcileSucceeded", f"{SUBNET} on d6-blog, egress Masquerade"),
        condition("Accepted", "True", "Accepted", "the newest version is valid and in effect", 7200),
        condition("SubnetAllocated", "True", "Allocated", str(SUBNET), 7200),
        condition("Drifted", "False", "Restored", "repaired: a rule was missing", 65),
    ]
    status = {
        "subnet": str(SUBNET),
        "gateway": str(SUBNET[1]),
        "bridge": "d6-blog",
        "networkName": "blog",
        "egress": "Masquerade",
        "containers": 2,
        "endpoints": [{"container": "web", "ipv6": str(SUBNET[2])}, {"container": "db", "ipv6": None}],
    }
    prune_held = [
        condition("Ready", "False", "EndpointsAttached", "shop goes when its containers are gone: web; stop them"),
        condition("PruneHeld", "True", "PruneHeld", "its file is gone"),
    ]
    pool = {"prefixes": ["fd12:3456:789a::/48"], "allocationLength": 64, "allocated": 1, "cooling": 1, "total": 65536}
    pool_of_interface = {
        "prefixes": ["2001:db8:b00::/56"],
        "allocationLength": 64,
        "allocated": 2,
        "cooling": 0,
        "total": 256,
        "interface": "wan0",
        "interfacePrefix": "2001:db8:b00::/56",
        "onLink": False,
        "since": "2023-11-14T22:12:20Z",
        "formerPrefixes": ["2001:db8:a00::/56"],
        "renumbering": ["media"],
    }
    daemon.accept(
        stored(
            "blog",
            labels={"app": "blog"},
            spec={"egress": {"mode": "Masquerade", "exclude": ["fd00::/8"]}},
            line=3,
            status={"observedGeneration": 1, "conditions": domain, **status},
        ),
        stored(
            "broken",
            generation=0,
            digest="",
            problem="/etc/dockerv6.d/broken.yaml:5:3: error: spec.egres: unknown field 'egres'; did you mean egress?",
            status={},
        ),
        stored(
            "nas",
            spec={"egress": {"mode": "PrefixTranslation", "prefixFrom": {"interface": "wan0"}}},
            status={
                "observedGeneration": 1,
                "conditions": [
                    condition(
                        "Ready",
                        "True",
                        "ReconcileSucceeded",
                        f"{TRANSLATED_SUBNET} on v6-nas, egress PrefixTranslation to 2001:db8:b00:2::/64",
                    )
                ],
                "subnet": TRANSLATED_SUBNET,
                "bridge": "v6-nas",
                "networkName": "nas",
                "egress": "PrefixTranslation",
                "containers": 1,
                "translatedTo": ["2001:db8:b00:2::/64", "2001:db8:a00:2::/64"],
            },
        ),
        stored("shop", missing_since=NOW - 90, status={"observedGeneration": 1, "conditions": prune_held}),
        stored(
            "default",
            "IPv6Pool",
            file="",
            status={
                "observedGeneration": 1,
                "conditions": [condition("Ready", "True", "ReconcileSucceeded", "1 of 65536 /64 in use")],
                **pool,
            },
        ),
        stored(
            "home",
            "IPv6Pool",
            spec={"fromInterface": {"name": "wan0"}},
            line=9,
            status={
                "observedGeneration": 1,
                "conditions": [
                    condition(
                        "Ready",
                        "True",
                        "ReconcileSucceeded",
                        "2 of 256 /64 in use; 1 still to be renumbered: media",
                    )
                ],
                **pool_of_interface,
            },
        ),
    )
    daemon.ledger(lambda ledger: ledger.bind("blog", "default", SUBNET, NOW - 7200, revision=None))
    daemon.event(EventType.NORMAL, "Created", "Docker network blog created", 7190, about=BLOG)
    daemon.event(EventType.WARNING, "Drifted", "repaired: a rule was missing", 3600, 600, 65, about=BLOG)
    daemon.hold("resources", "IPv6Network/shop")
    daemon.hold("networks", "old", "older")
    daemon.event(
        EventType.WARNING, "PruneHeld", "5 of 6 Docker networks belong to no resource", 30, about=("Host", "x")
    )
    monkeypatch.setattr(preview, "plan_now", lambda *_: Preview(PLANS, ()))


TRANSLATED_SUBNET = "fd12:3456:789a:2::/64"
PREVIOUS, CURRENT = IPv6Network("2001:db8:a00:7::/64"), IPv6Network("2001:db8:b00:7::/64")
WEB = Attachment("0123456789abcdef", "web", running=True, ipv6=IPv6Address("fd12:3456:789a:1::2"))
PLANS = (
    Plan(
        *BLOG,
        steps=(
            SetSysctl("net.ipv6.conf.all.forwarding", "1", "0", "the host does not forward IPv6"),
            BindSubnet("blog", "default", SUBNET, None, "it has none yet"),
            DetachEndpoint("0123456789abcdef", WEB),
            RemoveNetwork("0123456789abcdef", "blog", "its subnet changed"),
            AttachEndpoint("blog", WEB),
            UpdateFirewall("blog", lacking("blog").change, "the network needs them"),
        ),
        drift=(Drift("a rule was missing", ConditionType.FIREWALL_READY),),
    ),
    Plan(
        "IPv6Network",
        "shop",
        findings=(
            Finding("SubnetAllocated", "SubnetOverlap", f"{SUBNET} overlaps Docker network lab; choose another"),
        ),
    ),
    Plan(
        "IPv6Network",
        "media",
        steps=(
            RememberNetwork("media", NetworkSpec("media", ipam=(SubnetConfig(PREVIOUS),)), PREVIOUS, "home"),
            BindSubnet("media", "home", CURRENT, 1, "IPv6Pool home has another prefix; the subnet keeps its number"),
            AddProxyNeighbour("wan0", CURRENT[2]),
            RemoveProxyNeighbour("wan0", PREVIOUS[2]),
        ),
    ),
)


@pytest.mark.usefixtures("_running", "_state")
@pytest.mark.parametrize("name", SCREENS)
def test_the_output_matches_the_golden_file(name: str, tmp_path: Path) -> None:
    result = run(SCREENS[name].split(), prog_name="dockerv6")
    text = f"$ dockerv6 {SCREENS[name]}\n{result.stdout}"
    text += f"--- standard error\n{result.stderr}" if result.stderr else ""
    text += f"--- exit code {result.exit_code}\n"
    check(FOLDER / f"{name}.txt", text.replace(str(tmp_path), "/var/lib/dockerv6"))


def test_every_golden_file_is_used() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SCREENS)
