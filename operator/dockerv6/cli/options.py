"""What commands are declared with: their class, the options of the settings, and durations."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from dockerv6.cli.state import BlockingClock, SystemBlockingClock
from dockerv6.daemon.settings import OPTIONS, SettingOption, Settings, parse_duration
from dockerv6.source.git.location import check_scopes

if TYPE_CHECKING:
    from click.decorators import FC

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class OptionalValueOption(click.Option):
    """An option whose value follows an equals sign, as in kubectl; without one it has the value ``bare``."""

    def __init__(self, *args: Any, bare: str, **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **kwargs)
        self.bare = bare


class ExampleCommand(click.Command):
    """A command with examples at the end of its help."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments.

        As in kubectl, an equals sign may follow a short option: ``-o=json``. After ``--dry-run``, it must precede a
        value; click would take the next word for it.
        """
        end = args.index("--") if "--" in args else len(args)
        bare = {name: p.bare for p in self.get_params(ctx) if isinstance(p, OptionalValueOption) for name in p.opts}
        plain = (
            arg[:2] + arg[3:] if arg[:1] == "-" and arg[1:2].isalpha() and arg[2:3] == "=" else arg
            for arg in args[:end]
        )
        given = [f"{arg}={bare[arg]}" if arg in bare else arg for arg in plain]
        try:
            return super().parse_args(ctx, [*given, *args[end:]])
        except click.NoSuchOption as error:
            raise _with_remedy(error, self.get_params(ctx)) from None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, one per line without wrapping."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{example}\n")


def _with_remedy(error: click.NoSuchOption, parameters: Sequence[click.Parameter]) -> click.NoSuchOption:
    """The error, with what to do instead. click suggests whatever is a bit similar: --prune for --dry-run."""
    from dockerv6.api.errors import closest_match  # noqa: PLC0415 - only for options that do not exist
    from dockerv6.cli.foreign_words import OPTIONS as FOREIGN  # noqa: PLC0415 - as above

    name = error.option_name
    if name in FOREIGN:
        return click.NoSuchOption(name, f"No such option {name!r}; {FOREIGN[name]}.", ctx=error.ctx)
    shown = [p for p in parameters if isinstance(p, click.Option) and not p.hidden]
    names = [each for p in shown for each in (*p.opts, *p.secondary_opts) if each.startswith("--")]
    match = closest_match(name, names) if name.startswith("--") else None
    return click.NoSuchOption(name, possibilities=[match] if match else None, ctx=error.ctx)


def click_type(parse: Callable[[str], T]) -> Callable[[str], T]:
    """The parser as click's ``type``: its ValueError is reported as wrong usage."""

    @wraps(parse)
    def convert(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return convert


DURATION = click_type(parse_duration)
"""click's ``type`` of a duration in seconds."""


def parse_dry_run(text: str) -> bool:
    """Whether ``none``, ``client`` or ``server`` means that nothing is changed.

    Raises:
        ValueError: it is none of them.
    """
    if text not in ("none", "client", "server"):
        raise ValueError(f"{text!r} is none of none, client and server")
    return text != "none"


def filename_option(help_text: str) -> "Callable[[FC], FC]":
    """Kubectl's ``-f``, the parameter ``manifests``."""
    return click.option(
        "-f",
        "--filename",
        "manifests",
        metavar="FILE",
        multiple=True,
        type=click.Path(allow_dash=True),
        help=f"{help_text} Repeatable.",
    )


def dry_run_option(help_text: str) -> "Callable[[FC], FC]":
    """Kubectl's ``--dry-run[=client|server]``, whose value is a bool."""
    return click.option(
        "--dry-run",
        cls=OptionalValueOption,
        bare="client",
        default="none",
        type=click_type(parse_dry_run),
        metavar="[=client]",
        help=help_text,
    )


def recursive_option(function: "FC") -> "FC":
    """Kubectl's ``-R``, which is always on here."""
    return click.option("-R", "--recursive", is_flag=True, expose_value=False, hidden=True)(function)


def setting_option(name: str) -> "Callable[[FC], FC]":
    """The click option of a field of `Settings`. The parameter has the name of the field."""
    option, value = OPTIONS[name], getattr(Settings(), name)
    many = isinstance(value, tuple)
    as_text = option.default if many else "".join(option.default)
    return click.option(
        option.flag,
        name,
        type=_type(option),
        multiple=many,
        default=as_text if as_text and not option.is_flag else value,
        show_default=bool(option.default),
        envvar=option.variables if option.aliases else option.variables[0],
        show_envvar=True,
        metavar=option.metavar,
        help=option.help,
    )


def _type(option: SettingOption) -> Any:  # noqa: ANN401 - whatever click takes as a type
    if option.is_flag:
        return None
    if option.choices:
        return click.Choice(option.choices, case_sensitive=False)
    if option.path_list:
        return click.Path()  # splits its variable at ':'
    return option.parse if option.parse is str else click_type(option.parse)


def with_settings(function: Callable[Concatenate[Settings, P], R]) -> Callable[..., R]:
    """Give a command the options of all settings. It receives them as `Settings`, its first argument."""

    @wraps(function)
    def called(*args: Any, **given: Any) -> R:  # noqa: ANN401 - the options declare what click passes
        settings = Settings(**{name: given.pop(name) for name in OPTIONS})
        try:
            check_scopes(settings.git, settings.git_token_files, settings.git_ssh_keys)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        return function(settings, *args, **given)

    decorated: Callable[..., R] = called
    for name in reversed(tuple(OPTIONS)):
        decorated = setting_option(name)(decorated)
    return decorated


def clock_of(context: click.Context) -> BlockingClock:
    """The clock that the caller of the command line put into its context; by default the system's."""
    return context.obj if context.obj is not None else SystemBlockingClock()
