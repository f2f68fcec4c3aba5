"""The engine's settings in daemon.json and its flags: problems, and an edit of the file that keeps all else. Pure."""

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

DEFAULT_BRIDGE = "bridge"

_NAME = "engine settings"
_IPV6_WITHOUT_PREFIX_SINCE = (27, 0)  # and ip6tables without experimental
_DOCUMENTATION = (IPv6Network("2001:db8::/32"), IPv6Network("3fff::/20"))  # RFC 3849, RFC 9637
_PREFIX = "fixed-cidr-v6"
_SCALAR = r'true|false|null|"(?:[^"\\]|\\.)*"|[-+.0-9eE]+'
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})  # strconv.ParseBool, as for dockerd's flags
_SHORT = {"D": "debug", "G": "group", "H": "hosts", "b": "bridge", "l": "log-level", "p": "pidfile"}
_SHORT |= {"g": "graph", "s": "storage-driver"}
_BOM = "\ufeff"


class SettingsSyntaxError(ValueError):
    """The file is not what dockerd reads, or can't be edited. The message has line and column."""


def parse(text: str) -> dict[str, object]:
    """The keys of daemon.json. A file without text has none, and of a key that is there twice the last one counts.

    Raises:
        SettingsSyntaxError: it is not one JSON object.
    """
    text = text.removeprefix(_BOM)
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        comment = " (JSON has no comments)" if text[error.pos : error.pos + 1] in ("/", "#") else ""
        raise SettingsSyntaxError(f"{error.lineno}:{error.colno}: {error.msg}{comment}") from None
    except (RecursionError, ValueError) as error:  # nested too deeply, a number of thousands of digits
        raise SettingsSyntaxError(f"1:1: {error}") from None
    if found is None:  # as dockerd does
        return {}
    if not isinstance(found, dict):
        raise SettingsSyntaxError("1:1: not a JSON object: the file begins with { and ends with }")
    return found


def edited(text: str, changes: Mapping[str, object]) -> str:
    """The text with these keys. Everything else stays as it is: the order, blanks and line ends.

    Raises:
        SettingsSyntaxError: see `parse`; or a key has a value that can't be replaced, such as a list.
    """
    for key, value in changes.items():
        text = _with(text, key, value)
    return text


def _with(text: str, key: str, value: object) -> str:
    """The text with a key. What looks like the member may be one of another object, or part of a string."""
    before = parse(text)
    member = f"{json.dumps(key)}: {json.dumps(value)}"
    if not before:
        end = "\r\n" if "\r\n" in text else "\n"
        return f"{_BOM if text.startswith(_BOM) else ''}{{{end}  {member}{end}}}{end}"
    places = re.finditer(rf"({re.escape(json.dumps(key))}\s*:\s*)(?:{_SCALAR})", text)
    replaced = (text[: place.end(1)] + json.dumps(value) + text[place.end() :] for place in places)
    added = re.sub(r"\{(\s*)", lambda start: f"{{{start[1]}{member},{start[1] or ' '}", text, count=1)
    for each in (*replaced, added):
        if parse(each) == {**before, key: value}:
            return each
    raise SettingsSyntaxError(f"1:1: {json.dumps(key)} can't be changed by a program: edit the file")


@dataclass(frozen=True)
class EngineSettings:
    """What the engine starts with the next time.

    Attributes:
        path: of daemon.json, whether it exists or not.
        content: of the file; None: there is none.
        arguments: of the running dockerd, without its name.
        refusal: what ``dockerd --validate`` says against it; "": nothing; None: it was not asked, or can't validate.
    """

    path: Path
    content: bytes | None
    arguments: tuple[str, ...]
    release: tuple[int, int] = (0, 0)
    refusal: str | None = None

    @cached_property
    def keys(self) -> dict[str, object]:
        """Of the file. Raises `SettingsSyntaxError`."""
        return parse((self.content or b"").decode(errors="surrogateescape"))

    @cached_property
    def flags(self) -> dict[str, str]:
        """The long flags. One without a value is "true"."""
        found: dict[str, str] = {}
        for flag, following in pairwise((*self.arguments, "-")):
            name, equals, value = flag.removeprefix("--").partition("=")
            if flag.startswith("--"):
                found[name] = value if equals else "true" if following.startswith("-") else following
        return found

    def conflict(self) -> str:
        """Keys that are flags too, with which dockerd does not start even if the values are the same; "": none."""
        flags = {_SHORT.get(each[1:2], "") for each in self.arguments if each.startswith("-")}
        for flag in self.flags:
            flags |= {flag, f"{flag}s", f"{flag.removesuffix('y')}ies"}  # label, labels
        both = sorted(self.keys.keys() & flags)
        return f"{', '.join(both)}: set in the file and as a flag of dockerd; remove one of them" if both else ""

    @property
    def old(self) -> bool:
        """IPv6 rules are experimental, and the default bridge gets no prefix by itself, nor from address pools."""
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

    def prefix_problem(self, networks: Iterable[Network]) -> str:
        """Why the default bridge can't have IPv6 with ``fixed-cidr-v6``, or without it; "": it can."""
        fixed = self.fixed_prefix
        if fixed is None:
            return f"with this release, ipv6 needs {_PREFIX}" if self.old else ""
        local = (n for n in networks if n.name != DEFAULT_BRIDGE and n.driver != "overlay")  # which has its own pools
        other = min((n.name for n in local if any(fixed.overlaps(c.subnet) for c in n.ipv6)), default="")
        return f"{_PREFIX} {fixed} overlaps the network {other}" if other else ""


def names_of_default_bridge(resources: Iterable[Resource]) -> tuple[str, ...]:
    """Resources that use the default bridge, as messages name them."""
    return tuple(
        f"{kind_info(each.kind).singular}/{each.metadata.name}"
        for each in resources
        if (isinstance(each, NetworkResource) and each.docker_name == DEFAULT_BRIDGE)
        or (isinstance(each, IPv6Policy) and DEFAULT_BRIDGE in each.spec.selector.names)
    )


def check(
    settings: EngineSettings, networks: Iterable[Network], wanted_by: Collection[str], prefix: IPv6Network
) -> Iterator[HostCheck]:
    """Settings that the engine would refuse at its next start, and IPv6 that its default bridge lacks.

    Args:
        settings: of the engine.
        networks: of the engine.
        wanted_by: resources that name the default bridge.
        prefix: random, for the default bridge if it needs one.
    """
    why = settings.refusal
    try:
        why = settings.conflict() if why is None else why
        refused = f"{settings.path}: {why}" if why else ""
        settings.keys  # noqa: B018 - raises
    except SettingsSyntaxError as error:
        if why == "":  # dockerd reads UTF-16 too
            yield ok(_NAME, f"not checked: {settings.path}:{error}; the engine accepts it")
            return
        refused = f"{settings.path}:{error}"
    if refused:
        message = f"{refused}; the engine would not start again"
        yield fail(FindingId.ENGINE_SETTINGS_REFUSED, _NAME, message, "correct the file, or the flags of dockerd")
        return
    found = tuple(_findings(settings, tuple(networks), wanted_by, {_PREFIX: str(prefix)}))
    yield from found or (ok(_NAME, f"no problem found in {settings.path} and the flags of dockerd"),)


def _findings(
    settings: EngineSettings, networks: Collection[Network], wanted_by: Collection[str], prefix: Mapping[str, object]
) -> Iterator[HostCheck]:
    """Settings that ``--validate`` accepts, but a start refuses; prefixes for documentation; missing IPv6."""
    if settings.old and settings.enabled("ip6tables") and not settings.enabled("experimental"):
        why = "with this release, ip6tables needs experimental"
        yield _finding(settings, FindingId.ENGINE_SETTINGS_REFUSED, why, {"experimental": True})
    problem = settings.prefix_problem(networks)
    if problem and settings.enabled("ipv6"):
        yield _finding(settings, FindingId.ENGINE_SETTINGS_REFUSED, problem, prefix)
    own = [n for n in networks if n.name == DEFAULT_BRIDGE]
    fixed = settings.fixed_prefix
    in_use = [c.subnet for n in own for c in n.ipv6]
    wrong = [p for p in (fixed, *in_use) if isinstance(p, IPv6Network) and any(map(p.subnet_of, _DOCUMENTATION))]
    if wrong and fixed is not None:
        why = f"{_PREFIX} {wrong[0]} is a prefix for documentation, which is not routed"
        yield _finding(settings, FindingId.DOCUMENTATION_PREFIX, why, prefix if fixed in wrong else {})
    if wanted_by and any(not n.enable_ipv6 for n in own):
        why = f"the default bridge has no IPv6, but {', '.join(sorted(wanted_by))} uses it"
        changes = {**({} if settings.enabled("ipv6") else {"ipv6": True}), **(prefix if problem else {})}
        yield _finding(settings, FindingId.DEFAULT_BRIDGE_WITHOUT_IPV6, why, changes)


def _finding(settings: EngineSettings, finding: FindingId, why: str, changes: Mapping[str, object]) -> HostCheck:
    """A finding that a start of the engine with these keys solves. An option that is a flag can't also be a key."""
    report, message = warn, why
    if finding is FindingId.ENGINE_SETTINGS_REFUSED:
        report, message = fail, f"{settings.path}: {why}; the engine would not start again"
    flags = sorted(changes.keys() & settings.flags.keys())
    if flags:
        remedy = f"change {', '.join(f'--{flag}' for flag in flags)} where dockerd is started, and restart the engine"
        return report(finding, _NAME, message, remedy)
    if not changes:
        remedy = f"{settings.path} needs no change: restart the engine; `dockerv6 doctor --fix` says how"
        return report(finding, _NAME, message, remedy, fix=changes)
    remedy = f"set {json.dumps(changes)[1:-1]} in {settings.path}; `dockerv6 doctor --fix` shows the change"
    return report(finding, _NAME, message, remedy, fix=changes)
