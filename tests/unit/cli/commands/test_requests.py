"""``suspend``, ``resume``, ``reconcile`` and ``version``: commands that talk to the daemon."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from importlib.metadata import version
from pathlib import Path
from socketserver import UnixStreamServer

import pytest

from dockerv6.cli.commands import version as version_command
from dockerv6.daemon.http import REQUEST_LIMIT
from dockerv6.store.model import SUSPENDED
from tests.unit.cli.harness import NOW, Daemon, FakeTime, Patch, ready, returning, run, stored

BLOG = "ipv6network.dockerv6.io/blog"


class Requests(BaseHTTPRequestHandler):
    """Answers like the daemon; the first GET of each resource says that it is pending."""

    log: list[str]
    missing: bool
    body: str

    def do_POST(self) -> None:
        self._answer(404 if self.missing else 202, self.body or '{"accepted": true}')

    def do_GET(self) -> None:
        pending = f"GET {self.path}" not in self.log
        self._answer(200, self.body or json.dumps({"pending": pending, "version": "9.9", "pid": 7}))

    def _answer(self, code: int, body: str) -> None:
        self.log.append(f"{self.command} {self.path}")
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        return "client"


@pytest.fixture
def requests(tmp_path: Path, monkeypatch: Patch) -> Iterator[type[Requests]]:
    """The requests that the daemon on the Unix socket gets."""

    class Handler(Requests):
        missing = False
        body = ""

    Handler.log = []
    server = UnixStreamServer(str(tmp_path / "http.sock"), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("DOCKERV6_RUN_DIR", str(tmp_path))
    try:
        yield Handler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class TestSuspendAndResume:
    def test_it_is_recorded_and_the_daemon_is_notified(self, running: Daemon, requests: type[Requests]) -> None:
        running.accept(stored())
        result = run(["suspend", "v6net", "blog"])
        assert (result.exit_code, result.stdout, result.stderr) == (0, f"{BLOG} suspended\n", "")
        assert running.record(SUSPENDED, "IPv6Network/blog") == {"since": NOW, "created": NOW - 7200}
        assert requests.log == ["POST /v1/reconcile/IPv6Network/blog"]
        result = run(["resume", "ipv6network/blog"])
        assert (result.exit_code, result.stdout, result.stderr) == (0, f"{BLOG} resumed\n", "")
        assert running.record(SUSPENDED, "IPv6Network/blog") is None
        assert len(requests.log) == 2

    def test_without_a_daemon_it_takes_effect_at_the_next_start(self, daemon: Daemon) -> None:
        daemon.accept(stored())
        result = run(["suspend", "v6net/blog"])
        assert (result.exit_code, result.stderr) == (
            0,
            "no dockerv6 is running: this takes effect when it is started\n",
        )
        assert daemon.record(SUSPENDED, "IPv6Network/blog")

    @pytest.mark.parametrize("listen", ["none", "unix:/nowhere/sock"])
    def test_a_daemon_that_can_not_be_notified_is_a_warning(self, running: Daemon, listen: str) -> None:
        running.accept(stored())
        result = run(["suspend", "v6net/blog", "--listen", listen])
        assert result.exit_code == 0
        assert "takes effect at its next resync" in result.stderr

    def test_what_its_file_suspends_stays_so(self, running: Daemon, requests: type[Requests]) -> None:
        running.accept(stored(spec={"suspend": True}), stored("shop"))
        result = run(["resume", "v6net", "blog", "shop"])
        assert (result.exit_code, result.stdout) == (1, "ipv6network.dockerv6.io/shop resumed\n")
        assert "ipv6network/blog at /etc/dockerv6.d/blog.yaml:1; set it to false there" in result.stderr
        assert requests.log == ["POST /v1/reconcile/IPv6Network/blog,IPv6Network/shop"]

    def test_a_record_of_an_earlier_object_of_the_name_is_replaced(self, daemon: Daemon) -> None:
        daemon.accept(stored())
        daemon.suspend("blog", created=1.0)
        run(["suspend", "v6net/blog"])
        assert daemon.record(SUSPENDED, "IPv6Network/blog") == {"since": NOW, "created": NOW - 7200}
        run(["suspend", "v6net/blog"], FakeTime(lambda: None))
        assert daemon.record(SUSPENDED, "IPv6Network/blog") == {"since": NOW, "created": NOW - 7200}

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            ("v6net/nope", 1, 'ipv6networks "nope" not found'),
            ("v6pool/home", 1, "an IPv6Pool can't be suspended: it changes nothing by itself; set spec.disabled"),
            ("v6pol/all", 1, "an IPv6Policy can't be suspended: its rules follow containers"),
            ("v6net", 2, "name the resources"),
            ("all", 2, "name the resources"),
        ],
    )
    @pytest.mark.parametrize("verb", ["suspend", "resume"])
    def test_what_is_wrong(self, running: Daemon, verb: str, arguments: str, code: int, message: str) -> None:
        running.accept(stored())
        result = run([verb, *arguments.split()])
        assert (result.exit_code, result.stdout) == (code, "")
        assert message in result.stderr
        assert running.record(SUSPENDED, "IPv6Network/blog") is None


class TestReconcile:
    def test_it_waits_and_prints_ready(self, running: Daemon, requests: type[Requests]) -> None:
        running.accept(stored())
        time = FakeTime()
        result = run(["reconcile", "v6net/blog"], time)
        assert (result.exit_code, result.stdout) == (0, f"{BLOG} reconciled\n")
        assert "Ready=True (ReconcileSucceeded)" in result.stderr
        path = "/v1/reconcile/IPv6Network/blog"
        assert requests.log == [f"POST {path}", f"GET {path}", f"GET {path}"]
        assert time.elapsed > 0

    @pytest.mark.parametrize(("number", "posts"), [(2, 1), (100, 2)])
    def test_many_are_requested_at_once(
        self, running: Daemon, requests: type[Requests], number: int, posts: int
    ) -> None:
        names = [f"{'n' * 50}{index}" for index in range(number)]
        running.accept(*map(stored, names))
        result = run(["reconcile", "v6net"])
        assert (result.exit_code, result.stdout.count("reconciled")) == (0, number)
        posted = [line.split()[1] for line in requests.log if line.startswith("POST")]
        assert (len(posted), max(map(len, posted)) < REQUEST_LIMIT / 2 + 100) == (posts, True)
        asked = [each for path in posted for each in path.removeprefix("/v1/reconcile/").split(",")]
        assert sorted(asked) == sorted(f"IPv6Network/{name}" for name in names)

    def test_the_exit_code_is_1_if_it_is_not_ready(self, running: Daemon, requests: type[Requests]) -> None:
        running.accept(stored(status=ready("False", reason="PoolExhausted")), stored("fine"))
        result = run(["reconcile", "v6net", "blog", "fine"])
        assert result.exit_code == 1
        assert "PoolExhausted" in result.stderr
        assert requests.log

    def test_a_daemon_that_does_not_get_done_is_a_timeout(self, running: Daemon, requests: type[Requests]) -> None:
        running.accept(stored())
        requests.body = '{"pending": true}'
        result = run(["reconcile", "v6net/blog", "--timeout=3s"])
        assert result.exit_code == 1
        assert "timed out: the daemon still reconciles" in result.stderr

    @pytest.mark.parametrize("body", ["", "[]", "{", "null"])
    def test_other_answers_are_errors(self, running: Daemon, requests: type[Requests], body: str) -> None:
        running.accept(stored())
        requests.body = body or "x"
        result = run(["reconcile", "v6net/blog"])
        assert result.exit_code == 1
        assert "use the --run-dir and --listen of the daemon" in result.stderr

    def test_a_resource_that_is_gone(self, running: Daemon, requests: type[Requests]) -> None:
        running.accept(stored())
        requests.missing, requests.body = True, "there is no IPv6Network/blog"
        result = run(["reconcile", "v6net/blog"])
        assert result.stderr == "Error: deleted meanwhile: there is no IPv6Network/blog\n"
        assert 'ipv6networks "nope" not found' in run(["reconcile", "v6net/nope"]).stderr
        assert run(["reconcile", "v6pool"]).stderr == "No resources found\n"

    def test_without_a_daemon_apply_does_it(self, daemon: Daemon) -> None:
        daemon.accept(stored())
        result = run(["reconcile", "v6net/blog"])
        assert result.exit_code == 1
        assert "start it, or run `dockerv6 apply`" in result.stderr

    def test_no_socket(self, running: Daemon) -> None:
        running.accept(stored())
        assert run(["reconcile", "v6net/blog", "--listen", "none"]).exit_code == 2
        assert "no response from unix:/nowhere" in run(["reconcile", "v6net/blog", "--listen", "unix:/nowhere"]).stderr


class TestVersion:
    @pytest.fixture(autouse=True)
    def _engine(self, monkeypatch: Patch) -> None:
        returning(monkeypatch, version_command, "_engine", {"version": "28.5", "api": "1.51", "firewallBackend": None})

    def test_all_three(self, requests: type[Requests]) -> None:
        result = run(["version"])
        assert result.exit_code == 0
        assert result.stdout.splitlines() == [
            f"Client Version:  {version('dockerv6')}",
            "Daemon Version:  9.9 (pid 7)",
            "Engine Version:  28.5 (api 1.51)",
        ]
        assert "client and daemon differ: restart the daemon" in result.stderr
        assert json.loads(run(["version", "-o=json"]).stdout)["daemonVersion"] == {"version": "9.9", "pid": 7}
        assert requests.log == ["GET /version", "GET /version"]

    def test_the_client_alone(self) -> None:
        assert (
            run(["version", "--client", "-o", "yaml"]).stdout == f"clientVersion:\n  version: {version('dockerv6')}\n"
        )

    @pytest.mark.parametrize(
        ("arguments", "shown"),
        [
            (["--listen", "none"], "the daemon has no address"),
            (["--listen", "unix:/nowhere"], "no response from unix:/nowhere"),
        ],
    )
    def test_no_daemon_is_no_error(self, arguments: list[str], shown: str) -> None:
        result = run(["version", *arguments])
        assert result.exit_code == 0
        assert shown in result.stdout

    def test_another_program_at_the_address(self, requests: type[Requests]) -> None:
        requests.body = "[]"
        assert "is not this program's, or an older one" in run(["version"]).stdout


def test_an_engine_that_does_not_answer_is_no_error() -> None:
    result = run(["version", "--listen", "none", "--docker-host", "unix:///nowhere"])
    assert result.exit_code == 0
    assert "Engine Version:  unknown (Docker Engine at unix:///nowhere" in result.stdout
    assert run(["version", "--listen", "none", "--docker-host", "nonsense://"]).exit_code == 0


def test_the_kinds_are_listed() -> None:
    lines = run(["api-resources"]).stdout.splitlines()
    assert lines[0].split() == ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
    assert lines[1].split() == ["ipv6networks", "v6net", "dockerv6.io/v1alpha1", "false", "IPv6Network"]
    bare = run(["api-resources", "--no-headers"]).stdout.splitlines()
    assert [line.split() for line in bare] == [line.split() for line in lines[1:]]
    assert run(["api-resources", "-o", "name"]).stdout.split()[0] == "ipv6networks.dockerv6.io"
