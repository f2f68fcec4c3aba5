"""kubectl's options for namespaces, which resources of dockerv6 don't have."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.decorators import FC


def without_namespaces(function: "FC") -> "FC":
    """Accept the options, and say that they mean nothing."""
    for option in (
        click.option("-A", "--all-namespaces", is_flag=True, expose_value=False, hidden=True),
        click.option("-n", "--namespace", expose_value=False, hidden=True, callback=explain_namespaces),
    ):
        function = option(function)
    return function


def explain_namespaces(_: click.Context, __: click.Parameter, value: str | None) -> None:
    """The callback of ``--namespace``."""
    if value is not None:
        click.echo("Warning: resources of dockerv6 have no namespace: -n is ignored", err=True)
