"""Where a Git source is: repository, ref and path; and which credentials belong to it. Pure.

The settings import this module, so it must stay light.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

SCHEMES = ("https", "ssh", "file")
"""Transports that are used. ``http`` and ``git`` have no encryption: changed packets would be changed resources."""

HEAD = "HEAD"
"""The ref of the repository's default branch."""

_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://"
    r"(?:(?P<user>[^@/:]+)(?P<password>:[^/]*)?@)?"
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])?(?P<port>:[0-9]+)?"
    r"(?P<path>/.*)"
)
_SCP = re.compile(r"(?:(?P<user>[\w.-]+)@)?(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):(?P<path>[^/:].*)")
_REF = re.compile(r"(?![-/.])(?!.*(?:\.\.|//|@\{|\.lock$|/$))[^\s\x00-\x20\x7f~^:?*\[\\]+")
_OBJECT_ID = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_TOKEN = re.compile(
    r"(?i:gh[a-z]_|github_pat_|gl[a-z]{2,8}-(?=.*[0-9])[\w-]{16}|ATATT|ATBB|ATCTT|pat_|sk-).*|[0-9a-fA-F]{20,}|[A-Za-z0-9_=-]{36,}"
)
"""What forges give out as tokens, and what is too long for the name of a user."""
_DEFAULT_PORTS = {"https": ":443", "ssh": ":22"}
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_LONGEST_NAME = 30


def redacted(text: str) -> str:
    """The text without what may be a user and a password of a URL: everything up to the last ``@``."""
    return re.sub(r"(?s)\A([A-Za-z0-9+.-]*://)?.*@", r"\1***@", text)


@dataclass(frozen=True, slots=True)
class GitLocation:
    """What ``--git URL[#REF[:PATH]]`` names. An empty ref or path: the default of ``--git-ref``, ``--git-path``."""

    url: str
    ref: str = ""
    path: str = ""

    def __str__(self) -> str:
        url = redacted(self.url) if self.scheme == "https" and self.user else self.url  # it may be a token
        return self._with_fragment(url)

    def _with_fragment(self, url: str) -> str:
        fragment = f"{self.ref}:{self.path}" if self.path else self.ref
        return f"{url}#{fragment}" if fragment else url

    @property
    def scheme(self) -> str:
        """One of `SCHEMES`."""
        return self._parts["scheme"]

    @property
    def user(self) -> str:
        """The user in the URL; "": none."""
        return self._parts["user"]

    @property
    def host(self) -> str:
        """``host`` or ``host:port``; "" for a file."""
        return self._parts["host"]

    @property
    def is_commit(self) -> bool:
        """Whether the ref is the full id of a commit, which never moves."""
        return _OBJECT_ID.fullmatch(self.ref) is not None

    @property
    def directory_name(self) -> str:
        """A name that is unique among locations and that a person recognises."""
        last = self.url.rstrip("/").removesuffix(".git").rpartition("/")[2].rpartition(":")[2].lower()
        name = _NOT_IN_NAMES.sub("-", last).strip("-")[:_LONGEST_NAME].strip("-") or "git"
        return (
            f"{name}-{hashlib.sha256(self._with_fragment(self.url).encode(errors='surrogateescape')).hexdigest()[:8]}"
        )

    def in_scope(self, scope: str) -> bool:
        """Whether a credential for ``host``, ``host:port`` or ``host/path`` is for this repository.

        A host has no case, the default port need not be written, and a scope without a port is for every port.
        """
        host, _, path = scope.partition("/")
        default = _DEFAULT_PORTS.get(self.scheme, "")
        own = self.host.lower()
        hosts = {own, own.removesuffix(default), re.sub(r":[0-9]+\Z", "", own)}
        if not re.search(r":[0-9]+\Z", own):
            hosts.add(f"{own}{default}")
        place = f"{_repository(self._parts['path'])}/"
        return host.lower() in hosts and place.startswith(f"{_repository(path)}/".lstrip("/"))

    @property
    def _parts(self) -> dict[str, str]:
        found = _URL.fullmatch(self.url)
        if found is not None:
            host = f"{found['host'] or ''}{found['port'] or ''}"
            return {"scheme": found["scheme"], "user": found["user"] or "", "host": host, "path": found["path"]}
        found = _SCP.fullmatch(self.url)
        if found is None:
            raise ValueError(f"{redacted(self.url)!r} is not the URL of a Git repository")
        return {"scheme": "ssh", "user": found["user"] or "", "host": found["host"], "path": found["path"]}


def _repository(path: str) -> str:
    return path.strip("/").removesuffix(".git")


def parse_git_location(text: str) -> GitLocation:
    """``URL[#REF[:PATH]]``. An absolute path is a repository on this host.

    Raises:
        ValueError: it is none, or it has a password or a token. The message has neither.
    """
    url, _, fragment = text.partition("#")
    ref, _, path = fragment.partition(":")
    shown = redacted(text) if "@" in fragment else redacted(url)  # a password may have a #
    if not url.isprintable() or " " in url:
        raise ValueError(f"{shown!r} has a space or a control character; write it as %20")
    if url.startswith("/"):
        url = f"file://{url}"
    found = _URL.fullmatch(url)
    if found is None:
        if "://" in url or _SCP.fullmatch(url) is None:
            raise ValueError(
                f"{shown!r} is not the URL of a Git repository; write https://HOST/PATH or ssh://git@HOST/PATH"
            )
    elif found["password"] is not None:
        raise ValueError(
            f"{shown!r} has a password, which `ps` and the logs would show; write it to a file and name the file with"
            " --git-token-file"
        )
    elif found["scheme"] == "https" and _TOKEN.fullmatch(found["user"] or ""):
        raise ValueError(
            f"{shown!r} has a token in place of a user, which `ps` and the logs would show; write it to a file and name"
            " the file with --git-token-file"
        )
    elif found["scheme"] not in SCHEMES:
        raise ValueError(
            f"{shown!r}: {found['scheme']} is not used, because it protects nothing or is not known; use https or ssh"
        )
    elif (found["host"] is None) != (found["scheme"] == "file"):
        raise ValueError(
            f"{shown!r} has {'a' if found['host'] else 'no'} host; write file:///PATH or https://HOST/PATH"
        )
    return GitLocation(url, parse_git_ref(ref), parse_git_path(path))


def parse_git_ref(text: str) -> str:
    """A branch, a tag, a full ref such as ``refs/heads/main``, or the full id of a commit; "": the default.

    Raises:
        ValueError: no ref can have that name (git-check-ref-format(1)).
    """
    if text and not _REF.fullmatch(text):
        raise ValueError(f"{text!r} is not the name of a branch or tag, or the id of a commit; write one such as main")
    return text


def parse_git_path(text: str) -> str:
    """A directory or file in the repository; "": all of it.

    Raises:
        ValueError: it leads out of the repository.
    """
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if ".." in parts or not text.isprintable():
        raise ValueError(f"{text!r} is not a path in the repository; write one such as hosts/web1")
    return "/".join(parts)


@dataclass(frozen=True, slots=True)
class CredentialFile:
    """``[SCOPE=]FILE``: a token or a private key, for a host, for ``host/path``, or for every repository."""

    file: str
    scope: str = ""


def parse_credential_file(text: str) -> CredentialFile:
    """``FILE``, or ``HOST=FILE``, or ``HOST/PATH=FILE``. An absolute path has no scope.

    Raises:
        ValueError: the file has no name, or a name that ssh's options can't have.
    """
    scope, separator, file = ("", "", text) if text.startswith("/") else text.partition("=")
    if not separator:
        scope, file = "", text
    if not file:
        raise ValueError(f"{text!r} names no file; write FILE, or HOST=FILE")
    return CredentialFile(parse_ssh_path(file), scope)


def parse_ssh_path(text: str) -> str:
    r"""The path of a file that an option of ssh can name: without ``"``, ``\``, ``${`` and control characters.

    Raises:
        ValueError: it has one, which ssh would read as a quote, an escape or a variable (ssh_config(5)).
    """
    if not text.isprintable() or any(found in text for found in ('"', "\\", "${")):
        raise ValueError(f'{text!r} names no file that ssh can read; use a name without ", \\ and ${{')
    return text


@dataclass(frozen=True, slots=True)
class GitSource:
    """One repository, ref and path, with what git needs to reach it.

    Attributes:
        directory: below the state directory: clone, trees, and the link to the tree that is in effect.
        token_file: a token for https; "": none.
        key_file: a private key for ssh; "": none.
        known_hosts: the file with the host keys; "": the system's own.
        unscoped_token: the token has no scope, although there are repositories on several hosts: it is not sent.
    """

    location: GitLocation
    directory: Path
    token_file: str = ""
    key_file: str = ""
    known_hosts: str = ""
    unscoped_token: bool = False

    @property
    def root(self) -> str:
        """The path at which the resource files are read."""
        return str(self.directory / CURRENT)


CURRENT = "current"
"""The link to the tree that is in effect, in the directory of a source."""


def git_sources(
    locations: Iterable[GitLocation],
    directory: Path,
    default: GitLocation,
    tokens: Sequence[CredentialFile] = (),
    keys: Sequence[CredentialFile] = (),
    known_hosts: str = "",
) -> tuple[GitSource, ...]:
    """The sources of the settings, each once.

    Args:
        locations: as written.
        directory: of all sources.
        default: its ref and path are those of locations that name none.
        tokens: for https.
        keys: for ssh.
        known_hosts: the file of host keys.
    """
    complete = [
        replace(each, ref=each.ref or default.ref or HEAD, path=each.path or default.path) for each in locations
    ]
    several = len({each.host for each in complete if each.scheme == "https"}) > 1
    found = []
    for each in dict.fromkeys(complete):
        token = _credential(each, tokens if each.scheme == "https" else ())
        key = _credential(each, keys if each.scheme == "ssh" else ())
        unscoped = several and token is not None and not token.scope
        found.append(
            GitSource(
                each,
                directory / each.directory_name,
                token.file if token is not None and not unscoped else "",
                key.file if key is not None else "",
                known_hosts,
                unscoped,
            )
        )
    return tuple(found)


def check_scopes(
    locations: Sequence[GitLocation], tokens: Iterable[CredentialFile], keys: Iterable[CredentialFile]
) -> None:
    """Check that each credential with a scope is for a repository, so that none is left out silently.

    Raises:
        ValueError: one fits no repository, although there are some. The message names the repositories.
    """
    for option, scheme, files in (("--git-token-file", "https", tokens), ("--git-ssh-key", "ssh", keys)):
        fitting = [each for each in locations if each.scheme == scheme]
        for file in files:
            if locations and file.scope and not any(each.in_scope(file.scope) for each in fitting):
                known = ", ".join(redacted(each.url) for each in fitting) or "none"
                raise ValueError(
                    f"{option}: {redacted(file.scope)} fits no {scheme} repository of --git ({known}); correct it to"
                    " HOST or HOST/PATH, or remove it"
                )


def _credential(location: GitLocation, files: Iterable[CredentialFile]) -> CredentialFile | None:
    """The one with the longest scope that the location is in."""
    fitting = [each for each in files if not each.scope or location.in_scope(each.scope)]
    return max(fitting, key=lambda each: len(each.scope), default=None)
