"""``dockerv6 crds``: the resources' definitions for Kubernetes tools and editors."""

from pathlib import Path

import click

from dockerv6.cli.verb import Verb


@click.command(
    "crds",
    cls=Verb,
    short_help="Print or write the CRDs and the editors' JSON Schema.",
    examples=(
        "dockerv6 crds | kubectl apply -f -",
        "dockerv6 crds --dir crds",
        "dockerv6 crds --schema > dockerv6.schema.json",
    ),
)
@click.option("--dir", "directory", type=click.Path(file_okay=False), help="Write the files into this directory.")
@click.option("--schema", is_flag=True, help="Print the editors' JSON Schema instead of the CRDs.")
def command(*, directory: str | None, schema: bool) -> None:
    """Print the CustomResourceDefinitions, or write them and the editors' JSON Schema into a directory."""
    from dockerv6.api.crd import EDITOR_SCHEMA, export  # noqa: PLC0415 - loads the models, which --help need not

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
