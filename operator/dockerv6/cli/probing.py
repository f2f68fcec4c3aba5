"""The options of ``doctor --probe``."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from dockerv6.api.kinds import NETWORK
from dockerv6.cli.options import click_type
from dockerv6.cli.state import StateDirectory
from dockerv6.daemon.settings import Settings
from dockerv6.probe.targets import ProbeRequest, ProbeTarget, parse_target


def with_probe(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a probe. It receives a `ProbeRequest` or None as ``request``."""

    @click.argument("networks", metavar="[NETWORK]...", nargs=-1, shell_complete=_complete)
    @click.option("--probe", is_flag=True, help="Send packets from a throw-away container on each IPv6Network.")
    @click.option("--probe-image", metavar="IMAGE", default="", help="With --probe: run this image, which has `sleep`.")
    @click.option(
        "--probe-target",
        "targets",
        metavar="HOST[:PORT]",
        multiple=True,
        type=click_type(parse_target),
        help="With --probe: reach this host; default: the host's next hop and its IPv6 resolvers. Repeatable.",
    )
    @wraps(function)
    def called(
        *args: Any,  # noqa: ANN401 - what click passes
        probe: bool,
        networks: tuple[str, ...],
        probe_image: str,
        targets: tuple[ProbeTarget, ...],
        **given: Any,  # noqa: ANN401 - same
    ) -> Any:  # noqa: ANN401 - same
        if not probe and (networks or probe_image or targets):
            raise click.UsageError("NETWORK, --probe-image and --probe-target go with --probe")
        return function(*args, request=ProbeRequest(networks, probe_image, targets) if probe else None, **given)

    return called


def _complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    directory = Path(context.params.get("state_dir") or Settings().state_dir)
    try:
        names = [each.name for each in StateDirectory(directory).objects(NETWORK)]
    except Exception:  # noqa: BLE001 - completion can't report an error
        return []
    return [name for name in names if name.startswith(incomplete)]
