"""The part of ``docs/cli.md`` that is generated from the commands themselves; a test keeps it fresh."""

from collections.abc import Iterator

import click

from dockerv6.cli.main import VERBS, main
from dockerv6.cli.options import SETTINGS
from dockerv6.cli.verb import Verb

MARKER = "<!-- Below: generated from the commands; see dockerv6.cli.reference. -->\n"
"""What stands before the generated part."""

FULL = "run"
"""The verb whose options are told in full; others that take all of them refer to it."""


def reference() -> str:
    """Every verb: usage, purpose, arguments' and options' defaults and variables, examples."""
    with click.Context(main, info_name="dockerv6") as context:
        sections = []
        for name in VERBS:
            command = main.get_command(context, name)
            if isinstance(command, Verb):
                sections.append("\n".join(_section(command, context)))
    return "\n".join(sections)


def _section(command: Verb, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=command.name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"## {command.name}\n"
    yield f"```\n{usage}\n```\n"
    yield f"{_paragraphs(command.help or '')}\n"
    options = [p for p in command.get_params(context) if isinstance(p, click.Option) and "--help" not in p.opts]
    if command.name != FULL and {option.name for option in options} >= set(SETTINGS):
        options = [option for option in options if option.name not in SETTINGS]
        yield f"Takes all options of [{FULL}](#{FULL}), and:\n"
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
