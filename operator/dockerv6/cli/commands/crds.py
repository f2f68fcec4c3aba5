"""``dockerv6 crds``: schemas of the resources for Kubernetes tools and editors."""

from pathlib import Path

import click

from dockerv6.cli.options import ExampleCommand


@click.command(
    "crds",
    cls=ExampleCommand,
    short_help="Print the CRDs, or a JSON Schema for editors.",
    examples=(
        "dockerv6 crds | kubectl apply -f -",
        "dockerv6 crds --dir crds",
        "dockerv6 crds --schema > dockerv6.schema.json",
    ),
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False),
    help="Write the CRDs and the JSON Schema into this directory.",
)
@click.option("--schema", is_flag=True, help="Print the JSON Schema for editors instead of the CRDs.")
def command(*, directory: str | None, schema: bool) -> None:
    """Print the CustomResourceDefinitions of the resource kinds, or write them to a directory with a JSON Schema."""
    from dockerv6.api.crd import EDITOR_SCHEMA, export  # noqa: PLC0415 - loads the models

    files = export()
    if directory is not None:
        Path(directory).mkdir(parents=True, exist_ok=True)
        for name, text in sorted(files.items()):
            path = Path(directory, name)
            path.write_text(text, encoding="utf-8")
            click.echo(f"wrote {path}", err=True)
    elif schema:
        click.echo(files[EDITOR_SCHEMA], nl=False)
    else:
        click.echo("---\n".join(text for name, text in sorted(files.items()) if name != EDITOR_SCHEMA), nl=False)
