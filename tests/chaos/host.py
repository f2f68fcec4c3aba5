"""A host with networks, containers and published ports, and the check that all of it is as it was."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, DockerException
from requests import RequestException

from dockerv6.planning.docker.engine import TRUSTED_INTERFACES
from tests.chaos.proxy import Disturbance, EngineProxy
from tests.chaos.statedir import StateDirectory
from tests.e2e.cluster import network_yaml, our_table, policy_yaml, subnet_of
from tests.lab.engine import EngineError
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, UPLINK, ping
from tests.lab.probe import Port, ask
from tests.lab.process import CommandFailedError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from tests.lab.engine import Engine
    from tests.lab.lab import Lab
    from tests.lab.operator import Operator

# only a hang reaches it; an engine that restarts on a busy machine needs a part of it
PATIENCE = 240.0
_FIRST_PATIENCE = 60.0
_PAUSE = 0.3
_ANSWER = 2.0
_STARTS = 5
"""So many starts in a row that fail before an attempt counts as failed, each a second after the one before."""

OURS: dict[str, dict[str, Any]] = {
    "blog": {},
    "shop": {
        "firewall": {"ingress": [{"from": ["2001:db8::/32"], "ports": [{"port": 81}]}]},
        "options": {TRUSTED_INTERFACES: UPLINK},  # else 28.5 drops what ingress accepts
    },
    "mail": {},
}
"""The specs of our networks."""
_GUEST, _STRANGE = "guest", "strange"
_CONTAINERS = {"web": ("blog", 8080), "till": ("shop", 8081), "smtp": ("mail", None), "visitor": (_GUEST, 8083)}
_PREFIXES = {_GUEST: "fd12:3456:789a:1::/64", _STRANGE: "fd12:3456:789b:1::/64"}
_RESPONDER = ("responder", "tcp/80-81")
_FOREIGN_TABLE = """
table inet strange {
    set servers { typeof ip6 daddr; elements = { 2001:db8::1, 2001:db8::2 } }
    chain forward { type filter hook forward priority 10; ip6 daddr @servers counter; }
}
"""
UNAVAILABLE = (CommandFailedError, DockerException, RequestException, EngineError, OSError, LookupError)
"""What a command, a request or a probe raises while the host is disturbed."""


@dataclass(slots=True)
class ChaosHost:
    """The host. `remedy` restores what the last fault damaged, when the operator refuses to start because of it."""

    lab: Lab
    operator: Operator
    proxy: EngineProxy
    state: StateDirectory
    subnets: dict[str, str] = field(default_factory=dict)
    bridges: dict[str, str] = field(default_factory=dict)
    specs: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(OURS))
    foreign: object = None
    remedy: Callable[[], None] | None = None
    refusals: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    _log_read: int = 0

    @property
    def engine(self) -> Engine:
        return self.lab.engine

    def build(self) -> None:
        """Create everything, and wait until it is as it must be."""
        for name, prefix in _PREFIXES.items():
            self.engine.docker("network", "create", "--ipv6", "--subnet", prefix, name)
        self.engine.netexec("nft", "-f", "-", stdin=_FOREIGN_TABLE)
        self._write_networks()
        self.operator.apply_yaml("guest.yaml", policy_yaml(_GUEST, {"selector": {"prefixes": ["fd12:3456:789a::/48"]}}))
        self.operator.start()
        for name in OURS:
            self.operator.wait_ready(f"ipv6network/{name}", timeout=PATIENCE)
        for name, (network, port) in {**_CONTAINERS, "stranger": (_STRANGE, None)}.items():
            ports = {"80/tcp": port} if port else None
            always = {"RestartPolicy": {"Name": "always"}}
            self.engine.run(name, network, command=_RESPONDER, ports=ports, host_config=always)
        self.subnets = {name: subnet_of(self.engine, name) for name in OURS}
        for name in OURS:
            options = self.engine.client().inspect_network(name)["Options"]
            self.bridges[name] = options["com.docker.network.bridge.name"]
        self.foreign = self._foreign()
        if problem := self.converge(_FIRST_PATIENCE):
            raise AssertionError(f"the host is not as it must be before the first fault: {problem}")

    def _write_networks(self) -> None:
        documents = [network_yaml(name, spec) for name, spec in self.specs.items()]
        self.operator.apply_yaml("networks.yaml", "\n---\n".join(documents))

    def _replace_stale(self, name: str) -> None:
        """Do what the message says, when the engine was killed between its two records of a network."""
        number = int(self.bridges[name].rpartition("_")[2]) + 1 if "_" in self.bridges[name] else 1
        self.bridges[name] = f"v6-{name}_{number}"
        self.subnets[name] = f"fd12:3456:789c:{sorted(OURS).index(name)}{number:02x}::/64"
        fields = {"bridge": {"name": self.bridges[name]}, "addressing": {"subnet": self.subnets[name]}}
        self.specs[name] = {**OURS[name], **fields}
        self._write_networks()

    def converge(self, patience: float = PATIENCE) -> str:
        """Wait until all checks pass; return "", or the problem that is left. Restarts the operator as systemd does."""
        end = time.monotonic() + patience
        checks = (self._revive, self._ready, self._networks, self._containers, self._rules, self._packets, self._plan)
        while True:
            problem = next(filter(None, map(_outcome, checks)), "") or _outcome(self._unchanged)
            if not problem or time.monotonic() > end or len(self.crashes) >= _STARTS:
                return problem
            time.sleep(_PAUSE)

    def take_log(self) -> str:
        """The operator's log since the last call."""
        with self.operator.log.open("rb") as file:
            file.seek(self._log_read)
            text = file.read()
        self._log_read += len(text)
        return text.decode(errors="replace")

    def _revive(self) -> str:
        if self.operator.running:
            return ""
        log = self.take_log()
        last = (log.strip().splitlines() or ["no message"])[-1]
        refused = last.startswith(f"Error: {self.operator.state_dir}/") and "Traceback" not in log
        if self.remedy is not None and refused:
            self.refusals.append(last)
            self.remedy()
            self.remedy = None
        else:
            self.crashes.append(last)
            time.sleep(1.0)
        self.operator.start()
        return f"the operator ended: {last}"

    def _ready(self) -> str:
        printed = [self.operator.cli("get", kind, "-o", "json").stdout for kind in ("v6net", "v6pol")]
        listed = [item for each in printed for item in json.loads(each)["items"]]
        not_ready = {item["metadata"]["name"]: state for item in listed if (state := _not_ready(item))}
        for name, state in not_ready.items():
            if state.startswith("StaleNetwork: ") and self.subnets[name] in state:
                self._replace_stale(name)
        expected = {*OURS, _GUEST}
        missing = expected - {item["metadata"]["name"] for item in listed}
        return f"not ready: {not_ready}; missing: {missing}" if not_ready or missing else ""

    def _networks(self) -> str:
        subnets = {name: subnet_of(self.engine, name) for name in OURS}
        names = Counter(each["Name"] for each in self.engine.client().networks())
        if subnets != self.subnets:
            return f"subnets changed: {subnets} instead of {self.subnets}"
        expected = Counter(["bridge", "host", "none", *OURS, _GUEST, _STRANGE])
        return "" if names == expected else f"networks: {sorted(names.elements())}"

    def _containers(self) -> str:
        for name, (network, _) in _CONTAINERS.items():
            found = self.engine.client().inspect_container(name)
            attached = set(found["NetworkSettings"]["Networks"])
            if not found["State"]["Running"] or attached != {network}:
                return f"container {name}: {found['State']['Status']}, on {sorted(attached)} instead of {network}"
        return ""

    def _rules(self) -> str:
        table = our_table(self.engine)
        missing = [port for _, port in _CONTAINERS.values() if port and str(port) not in table]
        if missing:
            return f"our table has no {missing}"
        host = [line for line in self.engine.exec("ip6tables-save").stdout.splitlines() if "dockerv6" in line]
        twice = [rule for rule, count in Counter(chain(_rules_of(table), host)).items() if count > 1]
        return f"rules that exist twice: {twice}" if twice else ""

    def _packets(self) -> str:
        for name, (_, number) in _CONTAINERS.items():
            if number:
                port = Port("tcp", HOST_ADDRESS, number)
                answer = ask(self.lab.neighbour.namespace.path, port, patience=_ANSWER)
                if answer is None or answer.name != name:
                    return f"{port} is answered by {answer} instead of {name}"
            if not ping(self.engine, name, FAR_ADDRESS, deadline=round(_ANSWER)):
                return f"{name} has no connection to {FAR_ADDRESS}"
        return ""

    def _plan(self) -> str:
        planned = self.operator.cli("plan", check=False)
        return "" if planned.returncode == 0 else f"plan: status {planned.returncode}: {planned.stdout}{planned.stderr}"

    def _unchanged(self) -> str:
        found = self._foreign()
        return "" if found == self.foreign else f"foreign things changed: {found} instead of {self.foreign}"

    def _foreign(self) -> object:
        network = self.engine.client().inspect_network(_STRANGE)
        stranger = self.engine.client().inspect_container("stranger")
        table = self.engine.netexec("nft", "-s", "list", "table", "inet", "strange").stdout
        attached = sorted(stranger["NetworkSettings"]["Networks"])
        # an engine that was restarted lists them in another order
        subnets = sorted(config["Subnet"] for config in network["IPAM"]["Config"])
        return network["Id"], subnets, network["Labels"] or {}, attached, table


@contextmanager
def chaos_host(lab: Lab, rng: random.Random) -> Iterator[ChaosHost]:
    """Build the host on a clean engine, whose operator is connected to it through a proxy."""
    operator = lab.operator()
    proxy = EngineProxy(operator.run_dir / "engine.sock", lab.engine.socket, rng)
    operator.environment["DOCKER_HOST"] = f"unix://{proxy.path}"
    try:
        state = StateDirectory(operator, lab.engine.session.id)
        try:
            host = ChaosHost(lab, operator, proxy, state)
            host.build()
            yield host
        finally:
            proxy.set(Disturbance.NONE)
            operator.close()
            state.close()
    finally:
        proxy.close()
        if not lab.engine.alive:
            lab.engine.start()


def _outcome(check: Callable[[], str]) -> str:
    try:
        return check()
    except APIError as error:
        return f"the engine: {error.explanation}"
    except UNAVAILABLE as error:
        return f"{type(error).__name__}: {error}"


def _not_ready(item: dict[str, Any]) -> str:
    conditions = item.get("status", {}).get("conditions", [])
    ready = next((each for each in conditions if each["type"] == "Ready"), {"status": "", "reason": "no condition"})
    return "" if ready["status"] == "True" else f"{ready['reason']}: {ready.get('message', '')}"


def _rules_of(table: str) -> Iterator[str]:
    """The rules of a table as listed by nft, each with its chain."""
    block = ""
    for line in table.splitlines():
        text = line.partition(" # handle ")[0].strip()
        if text.startswith(("chain ", "map ", "set ")):
            block = text
        elif block.startswith("chain ") and text not in ("", "}"):
            yield f"{block} {text}"
