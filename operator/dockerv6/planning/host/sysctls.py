"""What the host itself must have: forwarding without losing its own default route, and a filter that lets us pass."""

from collections.abc import Collection, Mapping

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.hostnet.model import interface_sysctl
from dockerv6.planning.inputs import HostView
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import (
    RestoreSysctl,
    SetSysctl,
)

FORWARDING = "net.ipv6.conf.all.forwarding"


def accept_ra(interface: str) -> str:
    """The sysctl's name for one interface, whose own name may have dots (sysctl(8))."""
    return interface_sysctl(interface, "accept_ra")


def proxy_ndp(interface: str) -> str:
    """The sysctl's name for one interface."""
    return interface_sysctl(interface, "proxy_ndp")


def sysctl_steps(host: HostView) -> tuple[SetSysctl, ...]:
    """Forwarding, after accept_ra=2 wherever a router advertisement made the host's routes.

    With forwarding on, the kernel ignores router advertisements unless accept_ra is 2, and the default route that came
    with them runs out (Linux Documentation/networking/ip-sysctl.rst, accept_ra). The order is therefore fixed.
    """
    guards = tuple(
        SetSysctl(accept_ra(name), "2", value, f"{name} has its routes from router advertisements")
        for name, value in sorted(host.accept_ra.items())
    )
    if host.forwarding in (None, "1"):
        return guards
    return (*guards, SetSysctl(FORWARDING, "1", host.forwarding, "containers' packets are forwarded"))


def host_findings(host: HostView) -> tuple[Finding, ...]:
    """What keeps the host from forwarding at all."""
    if host.forwarding is None:
        return (
            Finding(
                ConditionType.HOST_READY,
                Reason.HOST_NOT_READY,
                "the kernel has no IPv6 (booted with ipv6.disable=1?); enable it and restart the host",
            ),
        )
    return ()


def unneeded_sysctls(priors: Mapping[str, str], *, forwards: bool, proxying: Collection[str]) -> dict[str, str]:
    """Those of the sysctls that we have set that nothing needs any more, with the values that they had.

    Args:
        priors: the values that sysctls had before, by name.
        forwards: some network needs forwarding, and with it the guards.
        proxying: interfaces on which neighbour solicitations are answered (`neighbours.proxying`).
    """
    needed = {proxy_ndp(name) for name in proxying}
    return {
        name: prior for name, prior in priors.items() if name not in needed and (_is_proxy_ndp(name) or not forwards)
    }


def restore_steps(priors: dict[str, str], now: dict[str, str | None]) -> tuple[RestoreSysctl, ...]:
    """Put back what nothing needs any more: forwarding first, so that the guards go last.

    A value that somebody else has changed since is left alone.
    """
    ordered = sorted(priors, key=lambda name: (name != FORWARDING, name))
    return tuple(
        RestoreSysctl(name, priors[name], "nothing needs it any more")
        for name in ordered
        if now.get(name) == _set_by_us(name) != priors[name]
    )


def _set_by_us(name: str) -> str:
    """What we set that sysctl to."""
    return "1" if name == FORWARDING or _is_proxy_ndp(name) else "2"


def _is_proxy_ndp(name: str) -> bool:
    return name.endswith("/proxy_ndp")
