"""The host's sysctls: forwarding, without the loss of its own default route, and NDP proxying."""

from collections.abc import Collection, Iterable, Mapping

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.hostnet.model import interface_sysctl
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.inputs import HostView
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import RestoreSysctl, SetSysctl

FORWARDING = "net.ipv6.conf.all.forwarding"


def accept_ra(interface: str) -> str:
    """The name of the sysctl for one interface."""
    return interface_sysctl(interface, "accept_ra")


def proxy_ndp(interface: str) -> str:
    """The name of the sysctl for one interface."""
    return interface_sysctl(interface, "proxy_ndp")


def disable_ipv6(interface: str) -> str:
    """The name of the sysctl for one interface, or for "all"."""
    return interface_sysctl(interface, "disable_ipv6")


def enable_ipv6_command(interfaces: Iterable[str]) -> str:
    """The command that ends ``disable_ipv6``, and how to keep it that way."""
    settings = " ".join(shell_quoted(f"{disable_ipv6(name)}=0") for name in interfaces)
    return f"run sysctl -w {settings}, and remove disable_ipv6 from /etc/sysctl.conf and /etc/sysctl.d"


def sysctl_steps(host: HostView) -> tuple[SetSysctl, ...]:
    """Set accept_ra=2 on every interface whose routes come from router advertisements, then enable forwarding.

    While forwarding is on, the kernel ignores router advertisements unless accept_ra is 2, and the default route that
    they gave expires (Linux Documentation/networking/ip-sysctl.rst, accept_ra). Therefore the order is fixed.
    """
    guards = tuple(
        SetSysctl(accept_ra(name), "2", value, f"{name} has routes from router advertisements")
        for name, value in sorted(host.accept_ra.items())
    )
    if host.forwarding in (None, "1"):
        return guards
    return (*guards, SetSysctl(FORWARDING, "1", host.forwarding, "the host forwards the packets of containers"))


def host_findings(host: HostView) -> tuple[Finding, ...]:
    """The kernel has no IPv6."""
    if host.forwarding is not None:
        return ()
    message = "the kernel has no IPv6 (was it booted with ipv6.disable=1?); enable it and reboot the host"
    return (Finding(ConditionType.HOST_READY, Reason.HOST_NOT_READY, message),)


def unneeded_sysctls(priors: Mapping[str, str], *, forwards: bool, proxying: Collection[str]) -> dict[str, str]:
    """The sysctls that we have set and that nothing needs any longer, with the values that they had before.

    Args:
        priors: the values that sysctls had before, by name.
        forwards: a network needs forwarding, and with it accept_ra=2.
        proxying: interfaces that need ``proxy_ndp`` (`ndp_proxy.proxying_interfaces`).
    """
    needed = {proxy_ndp(name) for name in proxying}
    return {
        name: prior for name, prior in priors.items() if name not in needed and (_is_proxy_ndp(name) or not forwards)
    }


def restore_steps(priors: dict[str, str], now: dict[str, str | None]) -> tuple[RestoreSysctl, ...]:
    """Restore sysctls: forwarding first, accept_ra last. One that was changed since we set it is left alone.

    Args:
        priors: the values to restore, by name.
        now: the present values.
    """
    ordered = sorted(priors, key=lambda name: (name != FORWARDING, name))
    return tuple(
        RestoreSysctl(name, priors[name], "nothing needs it any longer")
        for name in ordered
        if now.get(name) == _our_value(name) != priors[name]
    )


def _our_value(name: str) -> str:
    """The value that `sysctl_steps` or the NDP proxy sets."""
    return "1" if name == FORWARDING or _is_proxy_ndp(name) else "2"


def _is_proxy_ndp(name: str) -> bool:
    return name.endswith("/proxy_ndp")
