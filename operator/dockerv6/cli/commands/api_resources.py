"""``dockerv6 api-resources``: the kinds and their names."""

import click

from dockerv6.api.kinds import API_VERSION, GROUP, KINDS
from dockerv6.cli.options import ExampleCommand
from dockerv6.cli.printers.table import TextTable

_HEADINGS = ("Name", "Shortnames", "Apiversion", "Namespaced", "Kind")


@click.command(
    "api-resources",
    cls=ExampleCommand,
    short_help="List the kinds of resources.",
    examples=("dockerv6 api-resources", "dockerv6 api-resources -o name"),
)
@click.option(
    "-o", "--output", type=click.Choice(["table", "name"]), default="table", show_default=True, help="Output format."
)
@click.option("--no-headers", is_flag=True, help="Print the table without headings.")
def command(*, output: str, no_headers: bool) -> None:
    """List the kinds of resources with their names. `dockerv6 explain` has their fields."""
    if output == "name":
        for info in KINDS:
            click.echo(f"{info.plural}.{GROUP}")
        return
    rows = [(info.plural, ",".join(info.short_names), API_VERSION, "false", info.kind) for info in KINDS]
    for line in TextTable(_HEADINGS, shown=not no_headers).lines(rows):
        click.echo(line)
