"""The engine's settings, in daemon.json and in its flags: what is wrong with them, and their edit. Pure."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv6Network
from itertools import pairwise
from pathlib import Path

from dockerv6.api.kinds import kind_info
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.scheme import Resource
from dockerv6.daemon.findings import FindingId, HostCheck, fail, ok, warn
from dockerv6.dockerd.model import Network
from dockerv6.lib.text import shell_quoted

VALIDATE_SINCE = (23, 0)
"""The first release with ``dockerd --validate``."""

DEFAULT_BRIDGE = "bridge"

_NAME = "engine settings"
_IPV6_WITHOUT_PREFIX_SINCE = (27, 0)  # and ip6tables without experimental
_DOCUMENTATION = (IPv6Network("2001:db8::/32"), IPv6Network("3fff::/20"))  # RFC 3849, RFC 9637
_PREFIX = "fixed-cidr-v6"
_POOL6 = re.compile("[0-9a-fA-F]:[0-9a-fA-F:]*/")  # in default-address-pools
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})  # strconv.ParseBool, as for dockerd's flags
_BOM = "\ufeff"


class SettingsSyntaxError(ValueError):
    """The file is not what dockerd reads. The message has line and column."""


@dataclass(frozen=True, slots=True)
class _Member:
    """A key of the outermost object. Positions in the text: of the key, of the value, and behind it."""

    key: str
    start: int
    value: int
    end: int


def parse(text: str) -> dict[str, object]:
    """The keys of daemon.json. A file without text has none.

    Raises:
        SettingsSyntaxError: it is not one JSON object.
    """
    text = text.removeprefix(_BOM)
    if not text.strip():
        return {}
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        comment = " (JSON has no comments)" if text[error.pos : error.pos + 1] in ("/", "#") else ""
        raise SettingsSyntaxError(f"{error.lineno}:{error.colno}: {error.msg}{comment}") from None
    except RecursionError:
        raise SettingsSyntaxError("1:1: nested too deeply") from None
    if found is None:  # as dockerd does
        return {}
    if not isinstance(found, dict):
        raise SettingsSyntaxError("1:1: not a JSON object: the file begins with { and ends with }")
    return found


def edited(text: str, changes: Mapping[str, object]) -> str:
    """The text with these keys. Everything else stays as it is: the order, blanks and line ends.

    Raises:
        SettingsSyntaxError: see `parse`; or a key is there twice, of which dockerd takes the last.
    """
    if not parse(text):
        end = "\r\n" if "\r\n" in text else "\n"
        lines = json.dumps(dict(changes), indent=2).replace("\n", end)
        return f"{_BOM if text.startswith(_BOM) else ''}{lines}{end}"
    mark, text = (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)
    members = list(_members(text))
    _refuse_twins(text, members)
    first, last = members[0], members[-1]
    before = text[text.index("{") + 1 : first.start]
    colon = text[_DECODER.raw_decode(text, first.start)[1] : first.value]
    added = "".join(
        f",{before or ' '}{json.dumps(key)}{colon}{json.dumps(value)}"
        for key, value in changes.items()
        if key not in {member.key for member in members}
    )
    text = text[: last.end] + added + text[last.end :]
    for member in reversed(members):
        if member.key in changes:
            text = text[: member.value] + json.dumps(changes[member.key]) + text[member.end :]
    return mark + text


def _refuse_twins(text: str, members: Iterable[_Member]) -> None:
    seen: set[str] = set()
    for member in members:
        if member.key in seen:
            line, column = text.count("\n", 0, member.start) + 1, member.start - text.rfind("\n", 0, member.start)
            raise SettingsSyntaxError(f"{line}:{column}: {json.dumps(member.key)} is there twice; keep one")
        seen.add(member.key)


def _refuse_constant(name: str) -> None:
    raise SettingsSyntaxError(f"1:1: {name} is no JSON")


def _members(text: str) -> Iterator[_Member]:
    """The keys of a text that is a JSON object."""
    at = _skip(text, text.index("{") + 1)
    while text[at] == '"':
        key, end = _DECODER.raw_decode(text, at)
        value = _skip(text, _skip(text, end) + 1)  # behind the colon
        _, behind = _DECODER.raw_decode(text, value)
        yield _Member(key, at, value, behind)
        at = _skip(text, behind)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


@dataclass(frozen=True)
class EngineSettings:
    """What the engine starts with the next time.

    Attributes:
        path: of daemon.json, whether it exists or not.
        content: of the file; None: there is none.
        arguments: of the running dockerd, without its name.
        refusal: what ``dockerd --validate`` says against it; "": nothing, or the engine is older than that.
    """

    path: Path
    content: bytes | None
    arguments: tuple[str, ...]
    release: tuple[int, int] = (0, 0)
    refusal: str = ""

    @cached_property
    def keys(self) -> dict[str, object]:
        """Of the file. Raises `SettingsSyntaxError`."""
        return parse((self.content or b"").decode(errors="surrogateescape"))

    @cached_property
    def flags(self) -> dict[str, str]:
        """The long flags. One without a value is "true"."""
        found: dict[str, str] = {}
        for flag, following in pairwise((*self.arguments, "")):
            name, equals, value = flag.removeprefix("--").partition("=")
            if flag.startswith("--"):
                found[name] = value if equals or following.startswith("-") else following or "true"
        return {name: value or "true" for name, value in found.items()}

    def conflict(self) -> str:
        """Keys that are flags too, with which dockerd does not start even if the values are the same; "": none."""
        flags = {"hosts"} if "-H" in self.arguments else set()
        both = sorted(self.keys.keys() & flags.union(self.flags, (f"{flag}s" for flag in self.flags)))  # label, labels
        return f"{', '.join(both)}: in the file, and a flag of dockerd too" if both else ""

    @property
    def old(self) -> bool:
        """IPv6 rules are experimental, and the default bridge gets no prefix by itself."""
        return (0, 0) < self.release < _IPV6_WITHOUT_PREFIX_SINCE

    def enabled(self, key: str) -> bool:
        """Whether a boolean is on."""
        return self.flags[key] in _TRUE if key in self.flags else self.keys.get(key) is True

    @property
    def fixed_prefix(self) -> IPv6Network | None:
        """``fixed-cidr-v6``, if it is a prefix."""
        try:
            return IPv6Network(str(self.flags.get(_PREFIX, self.keys.get(_PREFIX))), strict=False)
        except ValueError:
            return None

    @property
    def gets_prefix(self) -> bool:
        """Whether the default bridge gets a prefix once it has IPv6."""
        pools = f"{self.keys.get('default-address-pools', '')}{self.flags.get('default-address-pool', '')}"
        return not self.old or self.fixed_prefix is not None or _POOL6.search(pools) is not None


def names_of_default_bridge(resources: Iterable[Resource]) -> tuple[str, ...]:
    """Resources that are for the default bridge, as in messages."""
    return tuple(
        f"{kind_info(each.kind).singular}/{each.metadata.name}"
        for each in resources
        if (isinstance(each, NetworkResource) and each.docker_name == DEFAULT_BRIDGE)
        or (isinstance(each, IPv6Policy) and DEFAULT_BRIDGE in each.spec.selector.names)
    )


def check(
    settings: EngineSettings, networks: Iterable[Network], wanted_by: Collection[str], prefix: IPv6Network
) -> Iterator[HostCheck]:
    """What the engine would refuse at its next start, and what its default bridge lacks.

    Args:
        settings: of the engine.
        networks: of the engine.
        wanted_by: resources that name the default bridge.
        prefix: random, for the default bridge if it needs one.
    """
    try:
        why = settings.conflict()
        why = settings.refusal or why
        message = f"{settings.path}: {why}"
    except SettingsSyntaxError as error:
        why = message = f"{settings.path}:{error}"
    if why:
        message = f"{message}; the engine would not start again"
        yield fail(FindingId.ENGINE_SETTINGS_REFUSED, _NAME, message, "correct the file", _validate(settings))
        return
    found = (*_refused(settings, networks, prefix), *_default_bridge(settings, networks, wanted_by, prefix))
    yield from found or (ok(_NAME, f"the engine would start again with {settings.path}"),)


def _refused(settings: EngineSettings, networks: Iterable[Network], prefix: IPv6Network) -> Iterator[HostCheck]:
    """What dockerd refuses at its start, and accepts in ``--validate``; and prefixes that are nobody's."""
    fixed = settings.fixed_prefix
    if settings.old and settings.enabled("ip6tables") and not settings.enabled("experimental"):
        why = "with this release, ip6tables needs experimental"
        yield _finding(settings, FindingId.ENGINE_SETTINGS_REFUSED, why, {"experimental": True})
    if settings.enabled("ipv6") and not settings.gets_prefix:
        why = f"with this release, ipv6 needs {_PREFIX}"
        yield _finding(settings, FindingId.ENGINE_SETTINGS_REFUSED, why, {_PREFIX: str(prefix)})
    if fixed is None:
        return
    others = sorted(
        n.name for n in networks if n.name != DEFAULT_BRIDGE and any(fixed.overlaps(c.subnet) for c in n.ipv6)
    )
    if others:
        why = f"{_PREFIX} {fixed} overlaps the network {others[0]}"
        yield _finding(settings, FindingId.ENGINE_SETTINGS_REFUSED, why, {_PREFIX: str(prefix)})
        return
    in_use = [c.subnet for n in networks if n.name == DEFAULT_BRIDGE for c in n.ipv6]
    wrong = [each for each in (fixed, *in_use) if isinstance(each, IPv6Network) and _is_for_documentation(each)]
    if wrong:
        why = f"{_PREFIX} {wrong[0]} is a prefix for documentation, which nobody routes"
        changes = {_PREFIX: str(prefix)} if fixed in wrong else {}
        yield _finding(settings, FindingId.DOCUMENTATION_PREFIX, why, changes)


def _is_for_documentation(prefix: IPv6Network) -> bool:
    return any(prefix.subnet_of(each) for each in _DOCUMENTATION)


def _default_bridge(
    settings: EngineSettings, networks: Iterable[Network], wanted_by: Collection[str], prefix: IPv6Network
) -> Iterator[HostCheck]:
    if not wanted_by or not any(n.name == DEFAULT_BRIDGE and not n.ipv6 for n in networks):
        return
    why = f"the default bridge has no IPv6, and {', '.join(sorted(wanted_by))} names it"
    changes: dict[str, object] = {} if settings.enabled("ipv6") else {"ipv6": True}
    changes |= {} if settings.gets_prefix else {_PREFIX: str(prefix)}
    yield _finding(settings, FindingId.DEFAULT_BRIDGE_WITHOUT_IPV6, why, changes)


def _finding(settings: EngineSettings, finding: FindingId, why: str, changes: Mapping[str, object]) -> HostCheck:
    """A finding that ends when the engine starts with these keys. What is a flag can't be a key."""
    report, message = warn, why
    if finding is FindingId.ENGINE_SETTINGS_REFUSED:
        report, message = fail, f"{settings.path}: {why}; the engine would not start again"
    flags = sorted(changes.keys() & settings.flags.keys())
    if flags:
        remedy = f"change {', '.join(f'--{flag}' for flag in flags)} where dockerd is started, and restart the engine"
        return report(finding, _NAME, message, remedy)
    if not changes:
        remedy = f"{settings.path} is right: restart the engine (`dockerv6 doctor --fix --restart-engine`)"
        return report(finding, _NAME, message, remedy, fix=changes)
    remedy = f"set {json.dumps(changes)[1:-1]} in {settings.path}; `dockerv6 doctor --fix` shows the change"
    return report(finding, _NAME, message, remedy, fix=changes)


def _validate(settings: EngineSettings) -> str:
    if (0, 0) < settings.release < VALIDATE_SINCE:
        return "dockerv6 doctor"
    return f"dockerd --validate --config-file {shell_quoted(str(settings.path))}"
