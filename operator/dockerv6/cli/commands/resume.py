"""``dockerv6 resume``: end a suspension."""

import click

from dockerv6.cli.commands.suspend import notify_daemon, select, suspended_by_file, write_records
from dockerv6.cli.namespaces import without_namespaces
from dockerv6.cli.options import ExampleCommand, setting_option
from dockerv6.cli.selection import complete, full_name, short_name
from dockerv6.daemon.settings import Settings


@click.command(
    "resume",
    cls=ExampleCommand,
    short_help="End the suspension of resources.",
    examples=("dockerv6 resume v6net blog", "dockerv6 resume ipv6network/blog && dockerv6 wait ipv6network/blog"),
)
@click.argument("wanted", metavar="KIND/NAME...", nargs=-1, required=True, shell_complete=complete)
@setting_option("state_dir")
@setting_option("run_dir")
@setting_option("listen")
@without_namespaces
def command(*, wanted: tuple[str, ...], state_dir: str, run_dir: str, listen: str) -> None:
    """Let dockerv6 act on suspended resources again.

    The exit code is 1 if a resource stays suspended because its file says so.
    """
    settings = Settings(state_dir=state_dir, run_dir=run_dir, listen=listen)
    selected = select(wanted, state_dir)
    write_records(settings, selected, since=None)
    notify_daemon(settings, selected)
    by_file = [stored for stored in selected if suspended_by_file(stored)]
    for stored in selected:
        if stored not in by_file:
            click.echo(f"{full_name(stored.kind, stored.name)} resumed")
    if by_file:
        places = ", ".join(f"{short_name(each.kind, each.name)} at {each.file}:{each.line}" for each in by_file)
        raise click.ClickException(f"spec.suspend in the file keeps it suspended: {places}; set it to false there")
