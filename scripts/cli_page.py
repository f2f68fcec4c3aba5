"""Write the generated part of docs/cli.md: usage, options, variables and examples of every command.

`python -m scripts.cli_page` writes it; a test fails when it is stale.
"""  # noqa: INP001

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockerv6.cli.main import VERBS, main
from dockerv6.cli.options import ExampleCommand
from dockerv6.daemon.settings import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"

_MARKER = "<!-- Below: generated from the commands by `python -m scripts.cli_page`; do not edit. -->\n"

_FULL = "run"
"""The verb whose settings are listed. Other verbs that take all settings refer to it."""


def page() -> str:
    """The text of the page: the part above the marker as it is, and the generated part."""
    written, _, _ = PAGE.read_text(encoding="utf-8").partition(_MARKER)
    with click.Context(main, info_name="dockerv6") as context:
        commands = [main.get_command(context, name) for name in VERBS]
        sections = [
            "\n".join(_section(command, context)) for command in commands if isinstance(command, ExampleCommand)
        ]
    return written + _MARKER + "\n" + "\n".join(sections)


def _section(command: ExampleCommand, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=command.name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"## {command.name}\n"
    yield f"```\n{usage}\n```\n"
    yield f"{_paragraphs(command.help or '')}\n"
    options = [p for p in command.get_params(context) if isinstance(p, click.Option) and "--help" not in p.opts]
    if command.name != _FULL and {option.name for option in options} >= set(OPTIONS):
        options = [option for option in options if option.name not in OPTIONS]
        yield f"Takes all options of [{_FULL}](#{_FULL})" + (", and:\n" if options else ".\n")
    if options:
        yield "| option | variable | default | meaning |\n|---|---|---|---|"
        yield from (_row(option, context) for option in options)
        yield ""
    yield "```\n" + "\n".join(command.examples) + "\n```\n"


def _row(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" {_escaped(option.make_metavar(context))}"
    variables = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
    shown = " ".join(f"`{variable}`" for variable in variables)
    return f"| {names}{value} | {shown} | {_default(option)} | {_escaped(option.help or '')} |"


def _default(option: click.Option) -> str:
    if not option.show_default:
        return ""
    if option.is_flag:
        return f"`{str(option.default).lower()}`"
    values = option.default if isinstance(option.default, tuple) else (option.default,)
    return " ".join(f"`{value}`" for value in values)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
