"""Transports with the real programs: https with a token (git's own http-backend), and ssh (OpenSSH)."""

import base64
import ctypes
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import CGIHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dockerv6.lib.tasks import CancellationToken, OperationCancelled
from dockerv6.source.git.location import GitLocation, GitSource, git_sources, parse_credential_file, parse_git_location
from dockerv6.source.git.program import GitCommandError, GitError, GitProgram, read_secret
from tests.unit.source.git.repositories import Remote, Site, resources, source_of

TOKEN = "s3cr3t/with:odd@signs"  # noqa: S105 - of a server that lives as long as a test


@dataclass
class HttpsServer:
    port: int
    accepted: list[str] = field(default_factory=list)
    refused: int = 0


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    made = Remote(tmp_path / "remote")
    made.commit(resources("blog"))
    return made


@pytest.fixture
def https(tmp_path: Path, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpsServer]:
    """``git http-backend`` behind TLS and a password, on loopback."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        (
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)),
        ),
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
    backend = subprocess.run(("git", "--exec-path"), check=True, capture_output=True, text=True).stdout.strip()

    class Handler(CGIHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            given = self.headers.get("Authorization", "").removeprefix("Basic ")
            user, _, password = base64.b64decode(given).decode().partition(":")
            if password != TOKEN:
                server_state.refused += 1
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            server_state.accepted.append(user)
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            done = subprocess.run(
                (f"{backend}/git-http-backend",),
                input=body,
                capture_output=True,
                check=True,
                env={
                    "GIT_PROJECT_ROOT": str(remote.bare.parent),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "REQUEST_METHOD": self.command,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "CONTENT_LENGTH": str(len(body)),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    "PATH": os.environ["PATH"],
                },
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = [line.split(": ", 1) for line in head.decode().splitlines()]
            status = next((value for name, value in headers if name == "Status"), "200 OK")
            self.send_response(int(status.split()[0]))
            for name, value in headers:
                if name != "Status":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server_state = HttpsServer(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server_state
    server.shutdown()
    server.server_close()
    thread.join()


def https_site(tmp_path: Path, https: HttpsServer, token: str, user: str = "") -> Site:
    file = tmp_path / "token"
    file.write_text(token)
    location = parse_git_location(f"https://{user}localhost:{https.port}/networks.git")
    (source,) = git_sources([location], tmp_path / "state", GitLocation(""), [parse_credential_file(str(file))])
    site = Site(tmp_path, "/x")
    site.source = source
    site.restart()
    return site


@pytest.mark.parametrize(("user", "expected"), [("", "git"), ("bot@", "bot"), ("a%40b@", "a@b")])
def test_a_private_https_repository_is_read_with_the_token_of_a_file(
    tmp_path: Path, https: HttpsServer, remote: Remote, user: str, expected: str
) -> None:
    site = https_site(tmp_path, https, f"{TOKEN}\n", user)
    assert site.sync().problem == ""
    assert site.names() == {"blog"}
    assert set(https.accepted) == {expected}
    remote.commit(resources("shop"))
    assert site.sync().problem == ""
    assert site.names() == {"blog", "shop"}
    written = [path for path in site.source.directory.rglob("*") if path.is_file()]
    assert not [path for path in written if b"s3cr3t" in path.read_bytes()]


def test_a_wrong_token_is_refused_without_a_prompt_and_is_not_in_the_message(
    tmp_path: Path, https: HttpsServer
) -> None:
    site = https_site(tmp_path, https, "wr0ng")
    problem = site.sync().problem
    assert "git ls-remote" in problem
    assert "--git-token-file" in problem
    assert "wr0ng" not in problem
    assert (https.accepted, https.refused > 0) == ([], True)


def test_a_certificate_that_is_not_trusted_is_refused(
    tmp_path: Path, https: HttpsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = https_site(tmp_path, https, TOKEN)
    monkeypatch.delenv("GIT_SSL_CAINFO")
    assert "certificate" in site.sync().problem
    assert https.accepted == []


def test_a_token_for_an_unknown_host_is_sent_to_none(tmp_path: Path) -> None:
    urls = ["https://a.invalid/n", "https://b.invalid/n"]
    source = git_sources(map(parse_git_location, urls), tmp_path, GitLocation(""), [parse_credential_file("/t")])[0]
    source.directory.mkdir()
    with pytest.raises(GitError, match=r"--git-token-file a\.invalid=FILE"):
        GitProgram(source).run("ls-remote", source.location.url, token=CancellationToken(), remote=True)


def test_a_host_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    problem = Site(tmp_path, "https://git.invalid/n.git").sync().problem
    assert "git.invalid" in problem
    assert "check the URL, the network" in problem


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ("", 0o600, "one line"),
        ("a\nb\n", 0o600, "one line"),
        ("a\0b", 0o600, "one line"),
        ("a", 0o666, "writable by other"),
    ],
)
def test_token_files_that_are_refused(tmp_path: Path, content: str, mode: int, message: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(GitError, match=message):
        read_secret(str(file))
    with pytest.raises(GitError, match="can't be read"):
        read_secret(str(tmp_path / "missing"))


def program_in(tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch, url: str = "/x") -> GitProgram:
    """A program named git in place of the real one."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "git"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    source = source_of(tmp_path, url)
    source.directory.mkdir(parents=True)
    return GitProgram(source)


@pytest.fixture
def as_init() -> Iterator[None]:
    """This process gets orphans, as PID 1 of a container does (PR_SET_CHILD_SUBREAPER)."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(36, 1, 0, 0, 0) == 0
    yield
    prctl(36, 0, 0, 0, 0)


@pytest.mark.usefixtures("as_init")
def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = program_in(tmp_path, f"sleep 1000 & echo $! > {tmp_path}/child; wait", monkeypatch)
    with pytest.raises(GitCommandError, match="did not end within 2 s"):
        git.run("fetch", token=CancellationToken(), limit=2)
    child = int((tmp_path / "child").read_text())
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.usefixtures("as_init")
@pytest.mark.parametrize("how", ["limit", "cancelled", "ended"])
def test_no_zombie_is_left_to_pid_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    wait = "read never < /dev/null" if how == "ended" else "wait"
    record = f"echo $! >> {tmp_path}/child"
    script = f"(sleep {0 if how == 'ended' else 1000} & {record}; wait) & {record}; {wait}"
    git = program_in(tmp_path, f"{script}\nexit 0", monkeypatch)
    token = CancellationToken()
    if how == "ended":
        git.run("fetch", token=token)
    else:
        timer = threading.Timer(1, token.cancel if how == "cancelled" else list)
        timer.start()
        with pytest.raises((GitCommandError, OperationCancelled)):
            git.run("fetch", token=token, limit=1 if how == "limit" else 100)
        timer.join()
    children = [int(line) for line in (tmp_path / "child").read_text().split()]
    assert children
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


@pytest.mark.parametrize(
    ("user", "expected"), [("b%40t", "b%40t"), ("b%2540t", "b%2540t"), ("bot", "bot"), ("x%2Fy", "x%2Fy")]
)
def test_a_user_is_quoted_once_for_the_store(tmp_path: Path, user: str, expected: str) -> None:
    (tmp_path / "token").write_text("t/1")
    source = replace(source_of(tmp_path, f"https://{user}@example.org/n"), token_file=str(tmp_path / "token"))
    source.directory.mkdir(parents=True)
    with GitProgram(source)._credentials(remote=True):
        (file,) = source.directory.glob(".credentials-*")
        assert file.read_text() == f"https://{expected}:t%2F1@example.org\n"


def test_a_cancelled_command_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = program_in(tmp_path, "sleep 1000", monkeypatch)
    token = CancellationToken()
    threading.Timer(0.5, token.cancel).start()
    with pytest.raises(OperationCancelled):
        git.run("fetch", token=token)


_FETCH = """
import sys
from pathlib import Path
from dockerv6.lib.tasks import CancellationToken
from dockerv6.source.git.location import GitLocation, git_sources, parse_git_location
from dockerv6.source.git.program import GitProgram
(source,) = git_sources([parse_git_location(sys.argv[1])], Path(sys.argv[2]), GitLocation(""))
source.directory.mkdir(parents=True)
GitProgram(source).run("ls-remote", source.location.url, token=CancellationToken(), remote=True)
"""


def _descendants(pid: int) -> set[int]:
    listed = subprocess.run(("ps", "-e", "-o", "pid=,ppid="), check=True, capture_output=True, text=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in listed.splitlines())}
    found, more = set[int](), {pid}
    while more := {child for child, parent in parents.items() if parent in more}:
        found |= more
    return found


@pytest.mark.parametrize("scheme", ["https", "ssh"])
def test_no_process_of_git_outlives_a_killed_daemon(tmp_path: Path, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/n.git"
        daemon = subprocess.Popen((sys.executable, "-c", _FETCH, url, str(tmp_path / "state")))
        connection, _ = silent.accept()
        with connection:
            # git, and what has the connection: ssh, or git-remote-https
            processes = {pid: os.pidfd_open(pid) for pid in _descendants(daemon.pid)}
            assert len(processes) > 2
            scores = {Path(f"/proc/{pid}/oom_score_adj").read_text() for pid in processes}
            daemon.kill()
            daemon.wait()
            try:
                ended = [bool(select.select([each], [], [], 60)[0]) for each in processes.values()]
            finally:
                for each in processes.values():
                    with suppress(ProcessLookupError):
                        signal.pidfd_send_signal(each, signal.SIGKILL)
                    os.close(each)
    assert all(ended)
    assert scores == {"1000\n"}


def test_what_a_remote_says_is_cut_and_printable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = program_in(tmp_path, r"printf 'remote: \033]0;title\007%01000d\nfatal: denied\n' 7 >&2; exit 3", monkeypatch)
    with pytest.raises(GitCommandError) as failed:
        git.run("fetch", token=CancellationToken(), remote=True)
    assert failed.value.code == 3
    assert str(failed.value).isprintable()
    assert len(str(failed.value)) < 1000


def test_too_much_output_ends_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = program_in(tmp_path, "yes", monkeypatch)
    monkeypatch.setattr("dockerv6.source.git.program._MAX_OUTPUT", 100_000)
    with pytest.raises(GitCommandError, match="wrote more than"):
        git.run("ls-tree", token=CancellationToken())


def test_a_clone_that_grows_too_large_ends_the_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = tmp_path / "clone" / "objects" / "pack"
    pack.mkdir(parents=True)
    git = program_in(tmp_path, f"while echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxx; do :; done > {pack}/received", monkeypatch)
    monkeypatch.setattr("dockerv6.source.git.program.MAX_CLONE", 100_000)
    with pytest.raises(GitCommandError, match="the clone has more than"):
        git.run("fetch", token=CancellationToken(), clone=tmp_path / "clone", remote=True)


def test_the_environment_has_nothing_of_the_callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_ASKPASS", "/bin/false")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.sshCommand'='touch x'")
    monkeypatch.setenv("DOCKER_PASSWORD", "s3cr3t")
    git = program_in(tmp_path, "env", monkeypatch, "https://example.org/n")
    found = git.run("ls-remote", token=CancellationToken()).decode()
    assert not {"ASKPASS", "PARAMETERS", "s3cr3t"} & {
        word for word in ("ASKPASS", "PARAMETERS", "s3cr3t") if word in found
    }
    assert "GIT_TERMINAL_PROMPT=0\n" in found
    assert "GIT_ALLOW_PROTOCOL=https\n" in found


@pytest.fixture
def ssh_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program named ssh that records its arguments and runs the command that it is given, as sshd would."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "ssh"
    fake.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\nfor last; do :; done\nexec sh -c "$last"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path / "arguments"


def ssh_source(tmp_path: Path, remote: Remote, key: Path, known_hosts: Path) -> GitSource:
    location = parse_git_location(f"ssh://git@localhost:2222{remote.bare}")
    (source,) = git_sources(
        [location],
        tmp_path / "state",
        GitLocation(""),
        keys=[parse_credential_file(str(key))],
        known_hosts=str(known_hosts),
    )
    return source


def test_ssh_gets_the_key_and_the_known_hosts_only(tmp_path: Path, remote: Remote, ssh_program: Path) -> None:
    site = Site(tmp_path, "/x")
    site.source = ssh_source(tmp_path, remote, tmp_path / "a key%h", tmp_path / "known hosts")
    site.restart()
    assert site.sync().problem == ""
    assert site.names() == {"blog"}
    arguments = ssh_program.read_text().splitlines()
    assert arguments[:2] == ["-F", "none"]
    assert f'IdentityFile="{tmp_path}/a key%%h"' in arguments
    assert f'UserKnownHostsFile="{tmp_path}/known hosts"' in arguments
    assert {"StrictHostKeyChecking=yes", "BatchMode=yes", "IdentitiesOnly=yes", "GlobalKnownHostsFile=none"} <= set(
        arguments
    )


def test_the_real_ssh_accepts_the_options(tmp_path: Path) -> None:
    ssh = shutil.which("ssh")
    assert ssh
    source = replace(source_of(tmp_path, "git@192.0.2.1:n.git"), key_file=str(tmp_path / "a key"), known_hosts="/k h")
    words = GitProgram(source)._ssh()
    shown = subprocess.run(f"{words} -G git@192.0.2.1", shell=True, check=True, capture_output=True, text=True).stdout  # noqa: S602
    assert f"identityfile {tmp_path}/a key" in shown.replace('"', "")
    assert "userknownhostsfile /k h" in shown.replace('"', "")
    assert "stricthostkeychecking true" in shown
