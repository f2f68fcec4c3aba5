"""Helpers of the end-to-end tests: resources as YAML, and the state of the operator, the engine and the kernel."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from docker.errors import NotFound

from tests.lab.process import CommandFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.lab.engine import Engine
    from tests.lab.operator import Operator

TABLE = ("inet", "dockerv6")
PATIENCE = 60.0
_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


def network_yaml(name: str, spec: Mapping[str, Any] | None = None) -> str:
    """An IPv6Network resource (JSON is YAML)."""
    resource = {
        "apiVersion": "dockerv6.io/v1alpha1",
        "kind": "IPv6Network",
        "metadata": {"name": name},
        "spec": dict(spec or {}),
    }
    return json.dumps(resource, indent=2)


def pool_yaml(name: str, spec: Mapping[str, Any]) -> str:
    """An IPv6Pool resource."""
    return network_yaml(name, spec).replace('"IPv6Network"', '"IPv6Pool"')


def policy_yaml(name: str, spec: Mapping[str, Any]) -> str:
    """An IPv6Policy resource."""
    return network_yaml(name, spec).replace('"IPv6Network"', '"IPv6Policy"')


def eventually(check: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Call `check` until its result is true, and return the result. Errors of commands count as false.

    A check often starts a program, and other tests need the processor too: at least half of the time is spent waiting,
    and the pauses grow with it, up to a second.
    """
    began = time.monotonic()
    answer: Any = None
    while (started := time.monotonic()) < began + patience:
        try:
            answer = check()
        except (CommandFailedError, LookupError, NotFound) as error:
            answer = error
        else:
            if answer:
                return answer
        now = time.monotonic()
        time.sleep(max(_PAUSE, now - started, min((now - began) / 5, _LONGEST_PAUSE)))
    raise AssertionError(f"not within {patience:g} s: {what}; last answer: {answer}")


def wait_no_changes(operator: Operator) -> None:
    """Wait until `plan` has no changes: an operator gathers changes of the host's links for up to a second."""
    eventually(lambda: operator.cli("plan").returncode == 0, "plan has no changes")


def resource(operator: Operator, name: str, kind: str = "ipv6network") -> dict[str, Any]:
    """A resource as printed by `dockerv6 get -o json`."""
    found: dict[str, Any] = json.loads(operator.read("get", kind, name, "-o", "json").stdout)
    return found


def condition(operator: Operator, name: str, type_: str, kind: str = "ipv6network") -> dict[str, Any] | None:
    """One of the conditions of a resource."""
    conditions = resource(operator, name, kind).get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == type_), None)


def has_condition(operator: Operator, name: str, type_: str, status: str, reason: str) -> Callable[[], bool]:
    """A check for `eventually`: whether a condition has a status and a reason."""

    def check() -> bool:
        found = condition(operator, name, type_)
        return found is not None and (found["status"], found["reason"]) == (status, reason)

    return check


def network_id(engine: Engine, name: str) -> str | None:
    """The id of a Docker network, if it exists."""
    found = [n["Id"] for n in engine.client().networks() if n["Name"] == name]
    return found[0] if found else None


def subnet_of(engine: Engine, name: str) -> str:
    """The IPv6 subnet of a Docker network."""
    configs = engine.client().inspect_network(name)["IPAM"]["Config"]
    return next(str(c["Subnet"]) for c in configs if ":" in c["Subnet"])


def our_table(engine: Engine) -> str:
    """Our table as listed by nft, with handles; "" if it does not exist."""
    listing = engine.netexec("nft", "-a", "list", "table", *TABLE, check=False)
    return listing.stdout if listing.returncode == 0 else ""


def forwarding(engine: Engine) -> str:
    """Whether the host forwards IPv6."""
    return engine.netexec("sysctl", "-n", "net.ipv6.conf.all.forwarding").stdout.strip()
