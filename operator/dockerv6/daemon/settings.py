"""The settings of the daemon, one table: each field's type, default, command-line option, variable and help.

The command line's options, the ``DOCKERV6_*`` variables and the tables of docs/cli.md are generated from it. Commands
that only read the state import this module too, so it must stay light.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dockerv6.lib import timeformat
from dockerv6.lib.statefile import STATE_FILE
from dockerv6.lib.text import small_number
from dockerv6.source.git.location import (
    CredentialFile,
    GitLocation,
    GitSource,
    git_sources,
    parse_credential_file,
    parse_git_location,
    parse_git_path,
    parse_git_ref,
    parse_ssh_path,
)

if TYPE_CHECKING:
    from dockerv6.controller.context import ControllerSettings

T = TypeVar("T")

_MARK_LIMIT = 1 << 32
_UID_LIMIT = 2**32 - 1  # (uid_t) -1 is no user
_OPTION = "option"


@dataclass(frozen=True, slots=True)
class SettingOption:
    """The command-line option of a setting.

    Attributes:
        flag: ``--resync``; for a boolean ``--prune/--no-prune``.
        parse: converts the text of one value; raises ValueError with a message for the user.
        default: the default as a user writes it, one text per value; empty when the help describes it.
        choices: the allowed values, if they are limited.
        metavar: the placeholder of the value in the help.
        aliases: other variables that are read after the setting's own.
        path_list: whether the variable separates its values with ':'; otherwise with spaces.
    """

    flag: str
    help: str
    parse: Callable[[str], object]
    default: tuple[str, ...]
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    aliases: tuple[str, ...] = ()
    path_list: bool = False

    @property
    def is_flag(self) -> bool:
        """Whether the option is a pair such as ``--prune/--no-prune``."""
        return "/" in self.flag

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables, in the order of precedence."""
        name = self.flag.partition("/")[0].removeprefix("--").replace("-", "_")
        return (f"DOCKERV6_{name.upper()}", *self.aliases)


def setting(
    flag: str,
    default: T,
    help_text: str,
    *,
    parse: Callable[[str], object] = str,
    default_text: str | None = None,
    choices: tuple[str, ...] = (),
    metavar: str | None = None,
    aliases: tuple[str, ...] = (),
    path_list: bool = False,
) -> T:
    """Declare a field of `Settings`. ``default_text`` is shown where it differs from the value's own text."""
    values = default if isinstance(default, tuple) else (default,)
    shown = tuple(map(str, values)) if default_text is None else (default_text,)
    option = SettingOption(
        flag, help_text, parse, tuple(text for text in shown if text), choices, metavar, aliases, path_list
    )
    return field(default=default, metadata={_OPTION: option})


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``1h30m``, ``500ms`` or ``2d``. A number without a unit is seconds.

    Raises:
        ValueError: it is not a duration.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        return timeformat.checked_duration(float(text))
    try:
        return timeformat.parse_duration(text)
    except ValueError as error:
        raise ValueError(f"{error}; write a number with a unit, such as 90s, 10m or 1h30m") from error


def parse_interval(text: str) -> float:
    """A duration of at least a second.

    Raises:
        ValueError: it is not one.
    """
    seconds = parse_duration(text)
    if seconds < 1:
        raise ValueError(f"{text!r} is less than a second; write one such as 30s")
    return seconds


def parse_mark(text: str) -> int:
    """One bit of a packet mark, decimal or hexadecimal.

    Raises:
        ValueError: it is not exactly one bit of 32.
    """
    try:
        mark = int(text, 0)
    except ValueError:
        raise ValueError(f"{text!r} is not a number; write one such as 0x10000000") from None
    if not 0 < mark < _MARK_LIMIT or mark & (mark - 1):
        raise ValueError(f"{text!r} is not a single bit of a 32-bit mark; write one such as 0x10000000")
    return mark


def parse_directory(text: str) -> str:
    """The path of a directory, which need not exist.

    Raises:
        ValueError: it is a file, or no path at all, for instance because it is too long.
    """
    try:
        is_file = Path(text).is_file()
    except PermissionError:  # the code that uses the directory reports what is missing
        return text
    except OSError as error:
        raise ValueError(f"{text[:80]!r} can't be a directory: {error.strerror}") from None
    if is_file:
        raise ValueError(f"{text!r} is a file; write a directory")
    return text


def parse_uid(text: str) -> int:
    """A user id other than root's.

    Raises:
        ValueError: it is not one.
    """
    if not re.fullmatch("[0-9]{1,10}", text) or not 0 < int(text) < _UID_LIMIT:
        raise ValueError(f"{text!r} is not the id of a user other than root; write a number such as 65533")
    return int(text)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one operator. Times are seconds."""

    config_dirs: tuple[str, ...] = setting(
        "--config-dir",
        ("/etc/dockerv6.d",),
        "Directory of resource files. Repeatable; in the variable, separate directories with ':'.",
        metavar="PATH",
        path_list=True,
    )
    trusted_uids: tuple[int, ...] = setting(
        "--trust-uid",
        (),
        "Also accept resource files owned by this user, such as git-sync's. Repeatable; in the variable, separate ids "
        "with spaces.",
        parse=parse_uid,
        metavar="UID",
    )
    state_dir: str = setting(
        "--state-dir", "/var/lib/dockerv6", "Directory of the daemon's state.", parse=parse_directory, metavar="PATH"
    )
    run_dir: str = setting(
        "--run-dir", "/run/dockerv6", "Directory of the daemon's sockets.", parse=parse_directory, metavar="PATH"
    )
    docker_host: str | None = setting(
        "--docker-host",
        None,
        "Docker Engine to connect to, such as unix:///var/run/docker.sock. Default: the same as the docker command.",
        default_text="",
        metavar="URL",
        aliases=("DOCKER_HOST",),
    )
    firewall_backend: str = setting(
        "--firewall-backend", "auto", "Backend of the firewall rules.", choices=("auto", "nftables", "iptables")
    )
    resync: float = setting(
        "--resync",
        600.0,
        "Interval of full reconciliation, in addition to notifications.",
        parse=parse_duration,
        default_text="10m",
        metavar="DURATION",
    )
    prune: bool = setting(
        "--prune/--no-prune",
        default=True,
        help_text="Remove objects whose resource was deleted.",
        default_text="true",
    )
    fwmark: int = setting(
        "--fwmark",
        0x10000000,
        "Bit of the packet mark for flows that dockerv6 accepts.",
        parse=parse_mark,
        default_text="0x10000000",
        metavar="MARK",
    )
    log_format: str = setting("--log-format", "text", "Format of log lines.", choices=("text", "json"))
    log_level: str = setting(
        "--log-level", "info", "Lowest severity that is logged.", choices=("debug", "info", "warning", "error")
    )
    listen: str = setting(
        "--listen",
        "",
        "HTTP address of the daemon: unix:PATH, HOST:PORT or none. Default: unix:RUN_DIR/http.sock.",
        metavar="ADDRESS",
    )
    instance: str = setting(
        "--instance",
        "dockerv6",
        "Name of this operator in the labels of its Docker networks. It does not allow two operators on one host.",
    )
    git: tuple[GitLocation, ...] = setting(
        "--git",
        (),
        "Git repository of resource files: https, ssh or a local path. Repeatable; in the variable, separate them with"
        " spaces.",
        parse=parse_git_location,
        metavar="URL[#REF[:PATH]]",
    )
    git_ref: str = setting(
        "--git-ref",
        "",
        "Branch, tag or commit of each --git that names none. Default: the repository's default branch.",
        parse=parse_git_ref,
        metavar="REF",
    )
    git_path: str = setting(
        "--git-path",
        "",
        "Directory or file in the repository of each --git that names none. Default: all of it.",
        parse=parse_git_path,
        metavar="PATH",
    )
    git_interval: float = setting(
        "--git-interval",
        60.0,
        "Interval at which Git repositories are asked for a new commit.",
        parse=parse_interval,
        default_text="1m",
        metavar="DURATION",
    )
    git_token_files: tuple[CredentialFile, ...] = setting(
        "--git-token-file",
        (),
        "File with the token (or password) of https repositories; SCOPE is a HOST, or HOST/PATH. Repeatable; in the"
        " variable, separate files with spaces.",
        parse=parse_credential_file,
        metavar="[SCOPE=]FILE",
    )
    git_ssh_keys: tuple[CredentialFile, ...] = setting(
        "--git-ssh-key",
        (),
        "File with the private (deploy) key of ssh repositories; SCOPE is a HOST, or HOST/PATH. Repeatable; in the"
        " variable, separate files with spaces.",
        parse=parse_credential_file,
        metavar="[SCOPE=]FILE",
    )
    git_known_hosts: str = setting(
        "--git-known-hosts",
        "",
        "File with the host keys of ssh repositories. Default: the system's /etc/ssh/ssh_known_hosts.",
        parse=parse_ssh_path,
        metavar="FILE",
    )

    @property
    def database(self) -> Path:
        """The state file, which holds the store and the ledger."""
        return Path(self.state_dir) / STATE_FILE

    @property
    def address(self) -> str:
        """The address of health and metrics; empty when there is none."""
        if self.listen == "none":
            return ""
        return self.listen or f"unix:{self.run_dir}/http.sock"

    @property
    def git_directory(self) -> Path:
        """The directory of clones and trees, which only this user can read."""
        return Path(self.state_dir).absolute() / "git"

    @property
    def git_sources(self) -> tuple[GitSource, ...]:
        """The Git sources, with the defaults and credentials that are theirs."""
        default = GitLocation("", self.git_ref, self.git_path)
        return git_sources(
            self.git, self.git_directory, default, self.git_token_files, self.git_ssh_keys, self.git_known_hosts
        )

    @property
    def roots(self) -> tuple[str, ...]:
        """Every path that resource files are read from: the directories first, so that they win over Git."""
        return (*self.config_dirs, *(source.root for source in self.git_sources))

    def controller(self, installation: str = "") -> "ControllerSettings":
        """The settings of the controller of an installation."""
        from dockerv6.controller.context import ControllerSettings  # noqa: PLC0415 - see the module's docstring
        from dockerv6.planning.inputs import Identity  # noqa: PLC0415 - as above

        return ControllerSettings(
            roots=self.roots,
            identity=Identity(self.instance, installation, self.fwmark, _tcp_port(self.address)),
            prune=self.prune,
            resync=self.resync,
        )


def _tcp_port(address: str) -> int | None:
    """The port of a TCP address such as [::1]:9180; None: it is a Unix socket, or there is none."""
    return None if address.startswith("unix:") else small_number(address.rpartition(":")[2])


def _options() -> Iterator[tuple[str, SettingOption]]:
    for each in fields(Settings):
        option: SettingOption = each.metadata[_OPTION]
        yield each.name, option


OPTIONS: Mapping[str, SettingOption] = dict(_options())
"""The option of each setting, by the name of the field."""
