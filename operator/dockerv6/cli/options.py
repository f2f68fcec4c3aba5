"""Options that several verbs share, each with its environment variable, and the settings made from them."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from dockerv6.cli.times import SystemTime, Time, parse_duration

if TYPE_CHECKING:
    from dockerv6.daemon.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
"""As click's own option decorators: the callback's type goes through unchanged in practice, untyped here."""

_MARK_LIMIT = 1 << 32


def duration(text: str) -> float:
    """Seconds of a span such as ``10m``, for click's ``type``."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def mark(text: str) -> int:
    """One bit of the packets' fwmark, decimal or hexadecimal, for click's ``type``."""
    try:
        number = int(text, 0)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no number; write one such as 0x10000000") from None
    if not 0 < number < _MARK_LIMIT or number & (number - 1):
        raise click.BadParameter(f"{text!r} is not one bit of a 32-bit mark; write one such as 0x10000000")
    return number


config_dir = click.option(
    "--config-dir",
    "config_dirs",
    multiple=True,
    type=click.Path(),
    default=("/etc/dockerv6.d",),
    show_default=True,
    envvar="DOCKERV6_CONFIG_DIR",
    show_envvar=True,
    help="A directory of resources; may be repeated (in the variable: separated by ':').",
)
trust_uid = click.option(
    "--trust-uid",
    "trusted_uids",
    multiple=True,
    type=click.IntRange(min=1),
    metavar="UID",
    envvar="DOCKERV6_TRUST_UID",
    show_envvar=True,
    help="A user besides root whose resource files are obeyed, such as git-sync's; may be repeated (in the variable: "
    "separated by spaces).",
)
state_dir = click.option(
    "--state-dir",
    type=click.Path(file_okay=False),
    default="/var/lib/dockerv6",
    show_default=True,
    envvar="DOCKERV6_STATE_DIR",
    show_envvar=True,
    help="Where the daemon keeps its state.",
)
run_dir = click.option(
    "--run-dir",
    type=click.Path(file_okay=False),
    default="/run/dockerv6",
    show_default=True,
    envvar="DOCKERV6_RUN_DIR",
    show_envvar=True,
    help="Where the daemon keeps its sockets.",
)
docker_host = click.option(
    "--docker-host",
    envvar=["DOCKERV6_DOCKER_HOST", "DOCKER_HOST"],
    show_envvar=True,
    metavar="URL",
    help="The Docker Engine, such as unix:///var/run/docker.sock. Default: as the docker command finds it.",
)
firewall_backend = click.option(
    "--firewall-backend",
    type=click.Choice(["auto", "nftables", "iptables"]),
    default="auto",
    show_default=True,
    envvar="DOCKERV6_FIREWALL_BACKEND",
    show_envvar=True,
    help="How rules are written.",
)
resync = click.option(
    "--resync",
    type=duration,
    metavar="DURATION",
    default="10m",
    show_default=True,
    envvar="DOCKERV6_RESYNC",
    show_envvar=True,
    help="How often everything is looked at although nothing was heard.",
)
prune = click.option(
    "--prune/--no-prune",
    default=True,
    show_default=True,
    envvar="DOCKERV6_PRUNE",
    show_envvar=True,
    help="Whether what no resource asks for any more is removed.",
)
fwmark = click.option(
    "--fwmark",
    type=mark,
    metavar="MARK",
    default="0x10000000",
    show_default=True,
    envvar="DOCKERV6_FWMARK",
    show_envvar=True,
    help="The mark bit of flows that dockerv6 allows.",
)
log_format = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    envvar="DOCKERV6_LOG_FORMAT",
    show_envvar=True,
    help="How log lines are written.",
)
log_level = click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
    show_default=True,
    envvar="DOCKERV6_LOG_LEVEL",
    show_envvar=True,
    help="The least severity that is logged.",
)
listen = click.option(
    "--listen",
    default="",
    envvar="DOCKERV6_LISTEN",
    show_envvar=True,
    metavar="ADDRESS",
    help="Where the daemon answers over HTTP: unix:PATH, HOST:PORT or none. Default: unix:RUN_DIR/http.sock.",
)
instance = click.option(
    "--instance",
    default="dockerv6",
    show_default=True,
    envvar="DOCKERV6_INSTANCE",
    show_envvar=True,
    help="What this operator's Docker networks are labelled with.",
)

_DECORATORS: tuple[Decorator, ...] = (
    config_dir,
    trust_uid,
    state_dir,
    run_dir,
    docker_host,
    firewall_backend,
    resync,
    prune,
    fwmark,
    log_format,
    log_level,
    listen,
    instance,
)
SETTINGS = (
    "config_dirs",
    "trusted_uids",
    "state_dir",
    "run_dir",
    "docker_host",
    "firewall_backend",
    "resync",
    "prune",
    "fwmark",
    "log_format",
    "log_level",
    "listen",
    "instance",
)
"""The fields of `Settings`, which are also the names of the options' parameters."""


def with_settings(function: Callable[Concatenate["Settings", P], R]) -> Callable[..., R]:
    """Give a command all the daemon's options; it gets them as `Settings`, its first argument."""

    @wraps(function)
    def called(*args: Any, **given: Any) -> R:  # noqa: ANN401 - click calls it; what it gives is declared by the options
        from dockerv6.daemon.settings import Settings  # noqa: PLC0415 - only verbs that act on the world need it

        chosen = {name: given.pop(name) for name in SETTINGS}
        chosen |= {name: tuple(chosen[name]) for name in ("config_dirs", "trusted_uids")}
        return function(Settings(**chosen), *args, **given)

    decorated: Callable[..., R] = called
    for option in reversed(_DECORATORS):
        decorated = option(decorated)
    return decorated


def time_of(context: click.Context) -> Time:
    """The clock that the caller of the command line put into its context, else the machine's."""
    return context.obj if context.obj is not None else SystemTime()
