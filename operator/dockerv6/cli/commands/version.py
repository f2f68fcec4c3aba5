"""``dockerv6 version``: the versions of this program, of the running daemon and of the engine."""

from importlib.metadata import version

import click

from dockerv6.cli.options import ExampleCommand, setting_option
from dockerv6.cli.printers.objects import Json
from dockerv6.cli.printers.outputs import encode
from dockerv6.cli.printers.table import plain
from dockerv6.daemon.settings import Settings

_TIMEOUT = 5.0  # seconds
_OK = 200


@click.command(
    "version",
    cls=ExampleCommand,
    short_help="Print the versions of client, daemon and engine.",
    examples=("dockerv6 version", "dockerv6 version --client", "dockerv6 version -o json"),
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "yaml"]),
    default="text",
    show_default=True,
    help="Output format.",
)
@click.option("--client", is_flag=True, help="Only the version of this program.")
@setting_option("run_dir")
@setting_option("listen")
@setting_option("docker_host")
def command(*, output: str, client: bool, run_dir: str, listen: str, docker_host: str | None) -> None:
    """Print the versions of this program, of the running daemon, and of the Docker Engine.

    A daemon or an engine that does not answer is no error here: `dockerv6 doctor` finds the cause.
    """
    own = version("dockerv6")
    found: Json = {"clientVersion": {"version": own}}
    if not client:
        found["daemonVersion"] = _daemon(Settings(run_dir=run_dir, listen=listen))
        found["engineVersion"] = _engine(docker_host)
    if output != "text":
        click.echo(encode(found, output))
        return
    for name, about in found.items():
        label = f"{name.removesuffix('Version').capitalize()} Version:"
        click.echo(f"{label:<16} {_text(about)}")
    daemon = found.get("daemonVersion")
    if isinstance(daemon, dict) and daemon.get("version", own) != own:
        click.echo("Warning: client and daemon differ: restart the daemon (systemctl restart dockerv6)", err=True)


def _text(about: object) -> str:
    if not isinstance(about, dict):
        return "none"
    if "problem" in about:
        return plain(f"unknown ({about['problem']})")
    details = ", ".join(f"{key} {value}" for key, value in about.items() if key != "version" and value is not None)
    return plain(f"{about['version']}" + (f" ({details})" if details else ""))


def _daemon(settings: Settings) -> Json:
    from json import loads  # noqa: PLC0415 - start-up is budgeted

    from dockerv6.cli.daemon_client import daemon_address, query  # noqa: PLC0415 - as above

    try:
        address = daemon_address(settings)
        response = query(address, "/version", _TIMEOUT)
        about = loads(response.body) if response.status == _OK else {}
    except click.UsageError as error:
        return {"problem": error.message}
    except (OSError, ValueError) as error:
        return {"problem": f"no response from {address}: {error}"}
    if not isinstance(about, dict) or not isinstance(about.get("version"), str):
        return {"problem": f"{address} is not this program's, or an older one"}
    return {"version": about["version"], "pid": about.get("pid")}


def _engine(docker_host: str | None) -> Json:
    import asyncio  # noqa: PLC0415 - start-up is budgeted

    from dockerv6.dockerd.address import DockerHostError  # noqa: PLC0415 - as above
    from dockerv6.dockerd.client import DockerEngine  # noqa: PLC0415 - as above
    from dockerv6.dockerd.port import EngineError  # noqa: PLC0415 - as above

    async def ask() -> Json:
        engine = DockerEngine(docker_host)
        try:
            info = await engine.info()
        finally:
            await engine.close()
        return {"version": info.version, "api": info.api_version, "firewallBackend": info.firewall_backend}

    try:
        return asyncio.run(ask())
    except (EngineError, DockerHostError) as error:
        return {"problem": str(error)}
