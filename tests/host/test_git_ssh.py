"""A Git source over ssh with OpenSSH's real server, from Debian's package, in a network namespace."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockerv6.source.git.location import CredentialFile, GitLocation, git_sources, parse_git_location
from tests.unit.source.git.repositories import Remote, Site, resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.namespace import Namespace

PORT = 2222
# a user of its own and a directory for privilege separation, which only this process sees
_START = """
mount --bind "$1/passwd" /etc/passwd && mount -t tmpfs none /run && mkdir /run/sshd || exit
exec "$2" -D -e -f "$1/sshd_config"
"""


@pytest.fixture(scope="module")
def sshd_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree with Debian's sshd."""
    directory = tmp_path_factory.mktemp("openssh-server")
    packages = ("openssh-server", "libwrap0")
    subprocess.run(("apt-get", "download", "-qq", *packages), cwd=directory, check=True, capture_output=True)
    for package in directory.glob("*.deb"):
        subprocess.run(("dpkg-deb", "-x", str(package), str(directory / "root")), check=True)
    return directory / "root"


def key(path: Path) -> Path:
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)), check=True)
    return path


@pytest.fixture
def sshd(tmp_path: Path, sshd_program: Path, inside_netns: Namespace) -> Iterator[Path]:
    """A server whose keys are in the directory: `deploy` is authorized, `known_hosts` has its host key."""
    assert inside_netns
    host, deploy = key(tmp_path / "host"), key(tmp_path / "deploy")
    key(tmp_path / "other")
    (tmp_path / "passwd").write_text(Path("/etc/passwd").read_text() + "sshd:x:65533:65534::/run/sshd:/bin/false\n")
    host_key = host.with_suffix(".pub").read_text().split()
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{PORT} {host_key[0]} {host_key[1]}\n")
    (tmp_path / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {PORT}\nHostKey {host}\nAuthorizedKeysFile {deploy}.pub\nStrictModes no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n"
    )
    libraries = ":".join(str(path) for path in sshd_program.glob("**/x86_64-linux-gnu"))
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            ("unshare", "--mount", "sh", "-c", _START, "sh", str(tmp_path), str(sshd_program / "usr/sbin/sshd")),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": libraries},
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", PORT)).close()
                break
            except ConnectionRefusedError:
                assert server.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield tmp_path
    finally:
        server.terminate()
        server.wait()


def site(directory: Path, remote: Remote, *, key_name: str = "deploy", known_hosts: str = "known_hosts") -> Site:
    location = parse_git_location(f"ssh://root@127.0.0.1:{PORT}{remote.bare}")
    made = Site(directory, "/x")
    (made.source,) = git_sources(
        [location],
        directory / "state",
        GitLocation(""),
        keys=[CredentialFile(str(directory / key_name))],
        known_hosts=str(directory / known_hosts),
    )
    made.restart()
    return made


def test_a_deploy_key_and_a_host_key_are_what_is_accepted(sshd: Path) -> None:
    remote = Remote(sshd / "remote")
    remote.commit(resources("blog"))
    assert site(sshd, remote).sync().problem == ""
    it = site(sshd, remote)
    it.sync()
    assert it.names() == {"blog"}

    known = sshd / "known_hosts"
    known.write_text(known.read_text().rpartition(" ")[0] + " " + (sshd / "other.pub").read_text().split()[1] + "\n")
    remote.commit(resources("shop"))
    problem = it.sync().problem
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in problem
    assert "Host key verification failed" in problem
    assert "--git-known-hosts" in problem
    assert it.names() == {"blog"}


def test_a_key_that_is_not_authorized_and_an_unknown_host_are_refused(sshd: Path) -> None:
    remote = Remote(sshd / "remote")
    remote.commit(resources("blog"))
    assert "Permission denied (publickey)" in site(sshd, remote, key_name="other").sync().problem
    (sshd / "none").write_text("")
    assert "Host key verification failed" in site(sshd, remote, known_hosts="none").sync().problem
