"""Random histories: what users do, and what goes wrong meanwhile. A history is a value; the same for the same seed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from dockerv6.api.kinds import NETWORK, POLICY, POOL
from tests.simulation import grammar
from tests.simulation.crashes import SIDE_EFFECTS
from tests.simulation.directory import resource_file
from tests.simulation.engine import DISTURBANCES
from tests.simulation.machine import ERRORS, REPAIR_LIMIT, TWINS, WantedContainer

LENGTH = 50.0
"""Seconds in which everything happens."""

_QUIET = 8.0
"""Seconds before a network is removed in which no container changes and no state is lost: the operator must have seen
the network and its containers."""

NETWORKS: dict[str, dict[str, object]] = {
    "web": {"addressing": {"poolRef": {"name": "main"}}, "publish": {"fromContainers": True}},
    "db": {"addressing": {"poolRef": {"name": "main"}}, "internal": True},
    "api": {"addressing": {"subnet": "fd00:f:0:5::/64"}, "members": {"matchLabels": {"stack": "api"}}},
    "idle": {},
}
"""The resources of a history, by name. Nothing that goes wrong concerns them."""

SUBDIRECTORY = b"team/"
"""The directory of the files of "api" and "idle"."""

DELETED = "gone"
"""A network that users may delete. Nothing is deleted while a file can't be read."""

EDITS: dict[str, tuple[dict[str, object], ...]] = {
    "web": ({"egress": {"exclude": ["fd00:e::/32"]}}, {"firewall": {"isolation": False}}, {}),
    "db": ({"firewall": {"ingress": [{"from": ["fd00:d::/64"]}]}}, {}),
    "api": ({"egress": {"mode": "None"}}, {"publish": {"ports": [{"port": 7000, "containers": {"name": "app"}}]}}, {}),
}
CONTAINERS = {
    "w": WantedContainer("web", ("8080:80",)),
    "d": WantedContainer("db"),
    "app": WantedContainer("api", ("9000-9001:90-91/udp",)),
    "s": WantedContainer("shop", ("8443:443",)),
}
FOREIGN = {"shop": "fd00:5:1::/64", "legacy": "fd00:5:2::/64"}
"""Docker networks of others: one that a policy selects, and one that nothing selects."""


@dataclass(frozen=True)
class Action:
    """A call of a method of `machine.Machine`, or of its parts: "directory.write"."""

    at: float
    method: str
    arguments: tuple[object, ...] = ()
    keywords: Mapping[str, object] = field(default_factory=dict)
    hazard: str = ""  # the class of what goes wrong; "": a user does it

    def __str__(self) -> str:
        given = [*map(repr, self.arguments), *(f"{k}={v!r}" for k, v in self.keywords.items())]
        text = f"{self.at:6.2f} {self.hazard or 'user':<15} {self.method}({', '.join(given)})"
        return text if len(text) < 300 else f"{text[:300]}…"


def _file(name: str) -> bytes:
    return (SUBDIRECTORY if name in {"api", "idle"} else b"") + name.encode() + b".yaml"


def beginning(random: Random) -> Iterator[Action]:
    """What exists when the operator starts for the first time."""
    yield Action(0, "directory.write", (b"pool.yaml", resource_file(POOL, "main", {"prefix": "fd00:aa::/48"})))
    shops = {"selector": {"names": ["shop"]}}
    yield Action(0, "directory.write", (b"shops.yaml", resource_file(POLICY, "shops", shops)))
    for name, spec in NETWORKS.items():
        yield Action(0, "directory.write", (_file(name), resource_file(NETWORK, name, spec)))
    policy = random.choice(("Delete", "Orphan"))
    yield Action(0, "directory.write", (_file(DELETED), resource_file(NETWORK, DELETED, {"deletionPolicy": policy})))
    for name, subnet in FOREIGN.items():
        yield Action(0, "create_foreign_network", (name, subnet, f"br-{name}"))
    for name, wanted in CONTAINERS.items():
        yield Action(0, "run", (name, wanted))


_USER_ACTIONS = ("edit", "edit", "container", "restart", "late", "delete")


def user_actions(random: Random) -> Iterator[Action]:
    """Edits, containers, and restarts of the operator."""
    for what in random.choices(_USER_ACTIONS, k=random.randrange(1, 5)):
        at = _at(random)
        match what:
            case "edit":
                name = random.choice(sorted(EDITS))
                spec = NETWORKS[name] | random.choice(EDITS[name])
                yield Action(at, "directory.write", (_file(name), resource_file(NETWORK, name, spec)))
            case "container":
                name, early = random.choice(sorted(CONTAINERS)), random.uniform(3, LENGTH / 2)
                wanted = CONTAINERS[name]
                stopped = WantedContainer(wanted.network, wanted.ports, wanted.labels, running=False)
                yield Action(early, "run", (name, stopped))
                if random.random() < 0.7:
                    yield Action(early + random.uniform(0, 3), "run", (name, wanted))
            case "restart":
                yield Action(at, "restart")
            case "delete":
                yield Action(LENGTH - 1, "directory.delete", (_file(DELETED),))
            case "late":
                yield Action(at, "directory.write", (b"late.yaml", resource_file(NETWORK, "late", {})))
                yield Action(at, "run", ("l", WantedContainer("late", ("7070:70",), (("stack", "api"),))))


def _at(random: Random) -> float:
    return round(random.uniform(1, LENGTH), random.choice((0, 2)))


def _bad_file(content: Callable[[Random, str], bytes]) -> Callable[[Random], Iterator[Action]]:
    def hazard(random: Random) -> Iterator[Action]:
        for number in range(random.randrange(1, 3)):
            name = b"%s%d.yaml" % (random.choice((b"0", b"x", SUBDIRECTORY)), number)
            at = random.choice((0.0, _at(random)))
            yield Action(at, "directory.write", (name, content(random, f"x{number}")))
            end = random.choice(("stays", "is corrected", "is deleted"))
            later = at + random.uniform(0.1, 15)
            if end == "is corrected":
                yield Action(later, "directory.write", (name, resource_file(NETWORK, f"x{number}", {})))
            elif end == "is deleted":
                yield Action(later, "directory.delete", (name,))

    return hazard


def _file_names(random: Random) -> Iterator[Action]:
    for name in random.sample(grammar.FILE_NAMES, random.randrange(1, 4)):
        content = random.choice((b"x", resource_file(NETWORK, "x0", {})))
        yield Action(_at(random), "directory.write", (name, content))


def _links(random: Random) -> Iterator[Action]:
    targets = (b"/nonexistent", b"link.yaml", b".", b"..", b"/dev/zero", b"/proc/self/mem", b"\xff", b"x" * 255)
    for number, target in enumerate(random.sample(targets, 2)):
        name = random.choice((b"%d.yaml", b"link%d", SUBDIRECTORY + b"%d.yaml")) % number
        yield Action(_at(random), "directory.link", (name, target))


def _half_written(random: Random) -> Iterator[Action]:
    """The last edit of a file is written in two steps."""
    content = resource_file(NETWORK, "x0", {})
    at = _at(random)
    yield Action(at, "directory.write_in_place", (b"x0.yaml", content[: random.randrange(len(content))]))
    yield Action(at + random.uniform(0.0, 3.0), "directory.write_in_place", (b"x0.yaml", content))


def _lost_directory(random: Random) -> Iterator[Action]:
    """A directory is away for some time; it may be the root. Users edit nothing meanwhile."""
    name, at = random.choice((b"", SUBDIRECTORY)), LENGTH + 1
    replacements = ("nothing", "empty", "link") if not name else ("link",)
    yield Action(at, "directory.take_away", (name,), {"replacement": random.choice(replacements)})
    if random.random() < 0.5:
        yield Action(at + random.uniform(1, 5), random.choice(("restart", "crash")), ())
    yield Action(at + random.uniform(1, 40), "directory.bring_back", (name,))


def _engine_errors(random: Random) -> Iterator[Action]:
    reads = ("info", "networks", "network", "attachments", "networks_in_use", "orphaned_attachments", "containers")
    methods = (*SIDE_EFFECTS["engine"], *SIDE_EFFECTS["engine"], *reads)
    for _ in range(random.randrange(1, 5)):
        arguments = random.choice(methods), random.choice(sorted(ERRORS))
        yield Action(random.choice((0.0, _at(random))), "fail_engine", arguments, {"after": random.random() < 0.5})


def _phase(begin: str, end: str) -> Callable[[Random], Iterator[Action]]:
    def hazard(random: Random) -> Iterator[Action]:
        at = random.choice((0.0, _at(random)))
        yield Action(at, begin)
        if random.random() < 0.5:
            yield Action(at + random.uniform(0, 5), random.choice(("restart", "crash")))
        flushed = at + random.uniform(6, 10)
        yield Action(flushed, "flush_rules")
        yield Action(flushed + REPAIR_LIMIT, "expect_rules")
        yield Action(at + random.choice((0.1, 2.0, 20.0, 70.0)), end)

    return hazard


def _event_disturbances(random: Random) -> Iterator[Action]:
    at = random.choice((0.0, _at(random)))
    yield Action(at, "engine.disturb_events", (random.choice(DISTURBANCES),))
    yield Action(at + random.uniform(1, 30), "engine.disturb_events", ("",))


def _event_errors(random: Random) -> Iterator[Action]:
    yield Action(_at(random), "engine.break_events", (random.choice((400, 404, 500, 503)), random.randrange(1, 4)))


def _foreign_networks(random: Random) -> Iterator[Action]:
    for number in range(random.randrange(1, 3)):
        name = random.choice(("x", "a b", "ä", "x" * 200, "$(id)", "x/y", "-x", "%s", "x\x1b"))
        subnet = f"fd00:bad:{number}::/{random.choice((48, 64, 120))}"
        at = random.choice((0.0, _at(random)))
        yield Action(at, "create_foreign_network", (f"{name}{number}", subnet), grammar.labels(random))


def _claimed_labels(random: Random) -> Iterator[Action]:
    """A user copies the labels of our networks."""
    labels = {"dockerv6.io/managed-by": "dockerv6", "dockerv6.io/name": random.choice(("web", "x0", "", "*", "\x1b"))}
    yield Action(random.choice((0.0, _at(random))), "create_foreign_network", ("x", "fd00:bad::/64"), labels)


def _bridge_names(random: Random) -> Iterator[Action]:
    yield Action(0, "directory.write", (b"x.yaml", resource_file(POLICY, "x", {"selector": {"names": ["x0", "x1"]}})))
    for number in range(2):
        arguments = f"x{number}", f"fd00:bad:{number}::/64", random.choice(grammar.BRIDGES)
        yield Action(_at(random), "create_foreign_network", arguments)


def _foreign_tables(random: Random) -> Iterator[Action]:
    for _ in range(random.randrange(1, 4)):
        table = random.choice(
            ("inet firewalld", "ip6 filter", "inet *", "netdev x", "bridge \xff", "inet dockerv6x", "")
        )
        yield Action(_at(random), "net.commit_firewall", (table,))


def _flushes(random: Random) -> Iterator[Action]:
    for _ in range(random.randrange(1, 4)):
        at = _at(random)
        yield Action(at, "flush_rules")
        yield Action(at + REPAIR_LIMIT, "expect_rules")


def _bridges(random: Random) -> Iterator[Action]:
    at, name = random.uniform(LENGTH + _QUIET, LENGTH + 2 * _QUIET), f"v6-{random.choice(sorted(NETWORKS))}"
    yield Action(at, random.choice(("delete_bridge", "damage_bridge")), (name,))


def _removals(random: Random) -> Iterator[Action]:
    at = random.uniform(LENGTH + _QUIET, LENGTH + 2 * _QUIET)
    yield Action(at, "remove_network", (random.choice(sorted(NETWORKS)),))


def _sysctls(random: Random) -> Iterator[Action]:
    yield Action(_at(random), "net.change_sysctl", ("net.ipv6.conf.all.forwarding", "0"))
    if random.random() < 0.3:
        yield Action(_at(random), "net.overflow_notifications")


def _crashes(random: Random) -> Iterator[Action]:
    for _ in range(random.randrange(1, 4)):
        arguments = random.randrange(400), random.choice((0.0, 0.0, 5.0, 20.0))
        yield Action(random.choice((0.0, _at(random))), "crash", arguments)


def _clock(random: Random) -> Iterator[Action]:
    for _ in range(random.randrange(1, 3)):
        seconds = random.choice((-86400.0, -4 * 3600.0, -3.0, 3.0, 3600.0, 86400.0, 10 * 365 * 86400.0))
        yield Action(_at(random), "clock.step_wall", (seconds,))


def _rows(random: Random) -> Iterator[Action]:
    """The row of a resource that the files define again; and rows of records."""
    documents: tuple[dict[str, object], ...] = ({}, {"kind": "IPV6Network"}, {"spec": 5}, {"metadata": {"name": None}})
    records: tuple[dict[str, object], ...] = ({}, {"x": 1}, {"at": "never"}, {"identity": []}, {"prior": None})
    scopes = ("followed", "source", "prune", "orphan", "recreations", "members", "sysctls", "endpoints", "nope")
    if random.random() < 0.6:
        yield Action(_at(random), "damage_object", (NETWORK, random.choice(sorted(NETWORKS)), random.choice(documents)))
    else:
        arguments = random.choice(scopes), random.choice(("x", "web")), random.choice(records)
        yield Action(_at(random), "damage_record", arguments)


def _lost_state(random: Random) -> Iterator[Action]:
    yield Action(random.uniform(1, LENGTH - _QUIET), "lose_state")


HAZARDS: dict[str, Callable[[Random], Iterator[Action]]] = {
    "kinds": _bad_file(grammar.kind),
    "names": _bad_file(lambda random, _: grammar.named(random)),
    "values": _bad_file(grammar.valued),
    "encodings": _bad_file(grammar.encoded),
    "sizes": _bad_file(grammar.sized),
    "file-names": _file_names,
    "links": _links,
    "half-written": _half_written,
    "lost-directory": _lost_directory,
    "engine-errors": _engine_errors,
    "engine-down": _phase("stop_engine", "start_engine"),
    "engine-hang": _phase("engine.suspend", "engine.resume"),
    "event-disturbances": _event_disturbances,
    "event-errors": _event_errors,
    "foreign-networks": _foreign_networks,
    "claimed-labels": _claimed_labels,
    "bridge-names": _bridge_names,
    "foreign-tables": _foreign_tables,
    "flushes": _flushes,
    "bridges": _bridges,
    "removals": _removals,
    "sysctls": _sysctls,
    "crashes": _crashes,
    "clock": _clock,
    "rows": _rows,
    "lost-state": _lost_state,
}
"""What can go wrong, by class. Each gives the actions of one occurrence."""

RECREATING = frozenset({"bridges", "removals", "crashes", "engine-errors", "engine-down", "engine-hang"})
"""Classes with which a network may be created more often."""

UNAVAILABLE = frozenset({"engine-down", "engine-hang"})
"""Classes with which a network may be deleted before it was ever created."""

_EXCLUSIVE = frozenset({"removals", "bridges", "lost-state", "rows"})
"""At most one of these in a history: what is removed can only be restored from a state that is there."""

MOST_HAZARDS = 3


def history(seed: int, enabled: tuple[str, ...]) -> tuple[Action, ...]:
    """The actions of a seed, in order."""
    random, users = Random(f"hazards {seed}"), Random(f"users {seed // TWINS}")
    chosen = random.sample(sorted(enabled), min(len(enabled), random.randrange(1, MOST_HAZARDS + 1)))
    rivals = [name for name in chosen if name in _EXCLUSIVE][1:]
    if "lost-state" in chosen:  # without a state, only the engine knows which rules there were
        rivals += UNAVAILABLE
    actions = [*beginning(users), *user_actions(users)]
    for name in chosen:
        if name not in rivals:
            actions += [replace(action, hazard=name) for action in HAZARDS[name](random)]
    return tuple(sorted(actions, key=lambda action: action.at))
