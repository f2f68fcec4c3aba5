"""The faults. Each is a function that applies one fault at a random moment and ends it; the host must then converge."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from docker.errors import DockerException

from tests.chaos.host import OURS, PATIENCE
from tests.chaos.proxy import Disturbance
from tests.e2e.cluster import TABLE, eventually, our_table

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.chaos.host import ChaosHost

_LONGEST_MOMENT = 0.5
_LONGEST_FAULT = 4.0
RANGES = 16
"""The state file is divided into so many ranges; each damages one."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`title` is for the page. `apply` returns what exactly was done, for the report of a failure."""

    title: str
    apply: Callable[[ChaosHost, random.Random], str]


def _moment(rng: random.Random, longest: float = _LONGEST_MOMENT) -> None:
    """Pass a random time, so that the fault meets another state of the operator in each attempt."""
    time.sleep(rng.uniform(0, longest))


def _delete_table(host: ChaosHost, _: random.Random) -> str:
    host.engine.netexec("nft", "delete", "table", *TABLE, check=False)
    return "the table was deleted"


def _delete_rule(host: ChaosHost, rng: random.Random) -> str:
    rules = list(_rules(our_table(host.engine)))
    if not rules:
        return "there was no rule"
    chain, handle = rng.choice(rules)
    host.engine.netexec("nft", "delete", "rule", *TABLE, chain, "handle", handle, check=False)
    return f"a rule of {chain} was deleted"


def _rules(table: str) -> Iterator[tuple[str, str]]:
    """The chains and handles of all rules that nft lists."""
    chain = ""
    for line in table.splitlines():
        words = line.split()
        if line.startswith("\t") and not line.startswith("\t\t") and len(words) > 1:
            chain = words[1] if words[0] == "chain" else ""
        elif chain and " # handle " in line:
            yield chain, words[-1]


def _remove_network(host: ChaosHost, rng: random.Random) -> str:
    name = rng.choice(sorted(OURS))
    client = host.engine.client()
    with suppress(DockerException):  # the operator is faster, and has created or attached something again
        for container in client.inspect_network(name)["Containers"]:
            client.disconnect_container_from_network(container, name, force=True)
        client.remove_network(name)
    return f"network {name} was removed"


def _delete_bridge(host: ChaosHost, rng: random.Random) -> str:
    name = rng.choice(sorted(OURS))
    host.engine.netexec("ip", "link", "del", host.bridges[name], check=False)
    return f"the bridge of {name} was deleted"


def _turn_forwarding_off(host: ChaosHost, _: random.Random) -> str:
    host.engine.netexec("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=0")
    return "forwarding was turned off"


_OF_THE_KERNEL = (_delete_table, _delete_rule, _turn_forwarding_off)


def _disturb(host: ChaosHost, rng: random.Random) -> str:
    """Give the operator something to repair."""
    return rng.choice((*_OF_THE_KERNEL, _remove_network))(host, rng)


def _kill_operator(host: ChaosHost, rng: random.Random) -> str:
    done = _disturb(host, rng)
    _moment(rng)
    host.operator.kill()
    host.take_log()
    host.operator.start()
    return f"{done}, the operator was killed"


def _kill_engine(host: ChaosHost, rng: random.Random) -> str:
    done = _disturb(host, rng)
    _moment(rng)
    host.engine.kill()
    _moment(rng)
    host.engine.start()
    return f"{done}, the engine was killed"


def _stop_engine(host: ChaosHost, rng: random.Random) -> str:
    with _stopped_engine(host):
        done = rng.choice(_OF_THE_KERNEL)(host, rng)
        _moment(rng, _LONGEST_FAULT)
    return f"the engine was stopped, {done}"


@contextmanager
def _stopped_engine(host: ChaosHost) -> Iterator[None]:
    init = host.engine.pid
    children = Path(f"/proc/{init}/task/{init}/children").read_text().split()
    dockerd = next(int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text() == "dockerd\n")
    os.kill(dockerd, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(dockerd, signal.SIGCONT)


def _fill_state_directory(host: ChaosHost, rng: random.Random) -> str:
    host.state.fill()
    try:
        done = _disturb(host, rng)
        _moment(rng, _LONGEST_FAULT)
        if restarted := rng.random() < 0.5:
            host.operator.kill()
            host.take_log()
            host.operator.start()
            _moment(rng, _LONGEST_FAULT)
    finally:
        host.state.free()
    return f"the state directory was full{', the operator was killed and started' if restarted else ''}, {done}"


def _make_state_directory_read_only(host: ChaosHost, rng: random.Random) -> str:
    host.operator.stop()
    host.take_log()
    host.state.remount("ro")
    try:
        host.operator.start()
        done = _disturb(host, rng)
        eventually(lambda: not host.operator.running, "the operator refuses to start", PATIENCE)
        message = host.take_log()
        if str(host.operator.state_dir) not in message or "Traceback" in message:
            host.crashes.append(f"the message does not name the directory: {message}")
    finally:
        host.state.remount("rw")
    host.operator.start()
    return f"the state directory was read-only, {done}"


def _damage_state(host: ChaosHost, rng: random.Random, number: int | None = None) -> str:
    host.operator.stop()
    host.take_log()
    backup = host.lab.directory / "backup"
    host.state.backup(backup)
    size = host.state.size()
    number = rng.randrange(RANGES) if number is None else number
    place, length = host.state.damage(rng, size * number // RANGES, size * (number + 1) // RANGES)
    # no network: who was attached to a removed network is known from the state file only
    done = rng.choice(_OF_THE_KERNEL)(host, rng)
    restore = rng.random() < 0.5
    host.remedy = (lambda: host.state.restore(backup)) if restore else host.state.remove
    host.operator.start()
    remedy = "the backup is restored" if restore else "the file is removed"
    return f"{length} of {size} bytes from {place} on were overwritten, {remedy} if it is refused, {done}"


def damage_range(number: int) -> Fault:
    """Damage a place in one of the ranges of the state file."""
    return Fault(
        f"state file damaged, range {number + 1} of {RANGES}", lambda host, rng: _damage_state(host, rng, number)
    )


def _through_proxy(disturbance: Disturbance) -> Callable[[ChaosHost, random.Random], str]:
    def apply(host: ChaosHost, rng: random.Random) -> str:
        host.proxy.set(disturbance)
        try:
            done = _disturb(host, rng)
            _moment(rng, _LONGEST_FAULT)
        finally:
            host.proxy.set(Disturbance.NONE)
        return f"connections to the engine: {disturbance.value}; {done}"

    return apply


def together(faults: Sequence[Fault]) -> Fault:
    """Apply several faults, each while the operator may still repair what the one before did."""
    return Fault(
        ", ".join(fault.title for fault in faults),
        lambda host, rng: "; ".join([fault.apply(host, rng) for fault in faults]),
    )


FAULTS: Mapping[str, Fault] = {
    "operator-killed": Fault("`kill -9` of the operator while it repairs something", _kill_operator),
    "engine-killed": Fault("`kill -9` of the engine and all containers", _kill_engine),
    "engine-stopped": Fault("the engine hangs (SIGSTOP, later SIGCONT) while rules are deleted", _stop_engine),
    "table-deleted": Fault("`nft delete table inet dockerv6`", _delete_table),
    "rule-deleted": Fault("one rule deleted", _delete_rule),
    "network-removed": Fault("`docker network rm` of a network with containers, by force", _remove_network),
    "bridge-deleted": Fault("`ip link del` of a network's bridge", _delete_bridge),
    "forwarding-off": Fault("`sysctl net.ipv6.conf.all.forwarding=0`", _turn_forwarding_off),
    "state-full": Fault("the state directory's file system is full", _fill_state_directory),
    "state-read-only": Fault("the state directory is read-only for one start", _make_state_directory_read_only),
    "state-damaged": Fault("random bytes of the state file overwritten", _damage_state),
    "answers-late": Fault(
        "the engine's answers are late by up to a second per part", _through_proxy(Disturbance.DELAY)
    ),
    "connections-lost": Fault("requests to the engine, or their answers, are lost", _through_proxy(Disturbance.DROP)),
    "answers-truncated": Fault("the engine's answers are truncated", _through_proxy(Disturbance.TRUNCATE)),
    "errors-500": Fault("the engine answers 500 to everything", _through_proxy(Disturbance.ERROR)),
}
"""By name."""
