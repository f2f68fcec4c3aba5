"""The demonstration: every step runs real commands, shows their output, and fails if the result is wrong."""  # noqa: INP001

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import yaml

from scripts.demo_places import Place, machine, machine_engine, private
from tests.lab.engine import IMAGE
from tests.lab.net import tcp_server
from tests.lab.process import MARK, end
from tests.lab.session import Session, sweep

if TYPE_CHECKING:
    from collections.abc import Callable

_ROOT = Path(__file__).parents[1]
_PROGRAM = str(Path(sys.executable).with_name("dockerv6"))
_INSTANCE = "demo"
_BOX = "demo-box"
# on a machine with other networks: the examples that use only a random subnet
_HARMLESS = ("01-minimal.yaml", "03-pool.yaml")
_EXCLUDED = ("13-home.yaml", "15-several-uplinks.yaml", "16-renumbered.yaml", "17-macvlan.yaml", "18-ipvlan.yaml")
"""Examples that need more than one uplink with an on-link prefix; tests/e2e/test_examples.py covers them."""

_TIMEOUT = 60.0
_BOLD, _DIM, _GREEN, _RED, _PLAIN = ("\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m")


class DemoError(RuntimeError):
    """A step did not have the expected result."""


class Story:
    """The demonstration at one place, with its operator and its narration."""

    def __init__(self, place: Place, directory: Path, session: str) -> None:
        self._place = place
        self._session = session
        self._step = 0
        self.config, self._state, self._run = (directory / name for name in ("dockerv6.d", "state", "run"))
        self._log = directory / "operator.log"
        for path in (self.config, self._state, self._run):
            path.mkdir()
        self.prefix = "" if place.private else "demo-"
        self.network = f"{self.prefix}minimal"
        self._process: subprocess.Popen[str] | None = None

    def begin(self, heading: str, *lines: str) -> None:
        """Begin a step and print its heading."""
        self._step += 1
        _say(f"\n{_paint(_BOLD, f'{self._step}. {heading}')}")
        for line in lines:
            _say(f"   {line}")

    @property
    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER")}
        return {
            **inherited,
            "DOCKER_HOST": self._place.docker_host,
            "DOCKERV6_CONFIG_DIR": str(self.config),
            "DOCKERV6_STATE_DIR": str(self._state),
            "DOCKERV6_RUN_DIR": str(self._run),
            "DOCKERV6_INSTANCE": _INSTANCE,
            MARK: self._session,
        }

    def show(self, *argv: str, status: tuple[int, ...] = (0,), tail: int = 0) -> str:
        """Run a command as a user would type it, and print its output; `tail` prints only the last lines.

        Raises:
            DemoError: its exit status is not one of `status`.
        """
        _say(_paint(_DIM, f"   $ {' '.join(argv)}"))
        done = self._do(*argv)
        output = done.stdout + done.stderr
        for line in output.rstrip().splitlines()[-tail:]:
            _say(f"     {line}")
        if done.returncode not in status:
            raise DemoError(f"status {done.returncode} from: {' '.join(argv)}\n{done.stderr}")
        return done.stdout

    def works(self, *argv: str) -> bool:
        """Return whether a command succeeds; print nothing."""
        return self._do(*argv).returncode == 0

    def _do(self, *argv: str) -> subprocess.CompletedProcess[str]:
        program, *rest = argv
        if program == "docker":
            full = [*self._place.docker, *rest]
        else:
            full = self._place.enter([_PROGRAM if program == "dockerv6" else program, *rest])
        return subprocess.run(full, check=False, capture_output=True, text=True, env=self._environment, timeout=120)

    def start(self) -> None:
        """Start the daemon."""
        _say(_paint(_DIM, "   $ dockerv6 run &"))
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._place.enter([_PROGRAM, "run"]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                env=self._environment,
                # Ctrl-C interrupts only the demonstration, which then stops the daemon
                start_new_session=True,
            )

    def stop(self) -> None:
        """Stop the daemon if it is running."""
        if self._process is not None:
            end(self._process)
            self._process = None

    def log(self) -> str:
        """Return the last lines of the daemon's log."""
        return "\n".join(self._log.read_text().splitlines()[-20:]) if self._log.exists() else ""

    def remove_all(self) -> None:
        """Remove containers, networks and rules, and restore sysctls."""
        self.stop()
        self._do("docker", "rm", "--force", _BOX)
        if (self._state / "state.db").exists() and not self.works("dockerv6", "uninstall", "--yes"):
            raise DemoError(f"uninstall failed:\n{self._do('dockerv6', 'uninstall', '--yes').stderr}")

    def until(self, check: Callable[[], bool], what: str) -> float:
        """Wait until a check is true; return the seconds that it took.

        Raises:
            DemoError: it was never true.
        """
        began = time.monotonic()
        while not check():
            if time.monotonic() - began > _TIMEOUT:
                raise DemoError(f"not within {_TIMEOUT:g} s: {what}")
            time.sleep(0.002)
        return time.monotonic() - began

    def good(self, line: str) -> None:
        """Print a verified result."""
        _say(f"   {_paint(_GREEN, '✓')} {line}")

    # ---- the steps

    def apply_examples(self) -> None:
        """Copy the examples to the operator's configuration directory."""
        for path in sorted((_ROOT / "manifests" / "examples").glob("*.yaml")):
            if self._place.private and path.name not in _EXCLUDED:
                (self.config / path.name).write_text(path.read_text().replace("[eth0]", f"[{self._place.uplink}]"))
            elif path.name in _HARMLESS:
                (self.config / path.name).write_text(self._renamed(path.read_text()))

    def _renamed(self, text: str) -> str:
        """Give resources and their references unique names."""
        documents = list(yaml.safe_load_all(text))
        for document in documents:
            document["metadata"]["name"] = self.prefix + document["metadata"]["name"]
            reference = document["spec"].get("addressing", {}).get("poolRef")
            if reference is not None:
                reference["name"] = self.prefix + reference["name"]
        return yaml.safe_dump_all(documents, sort_keys=False)

    def ping(self) -> bool:
        """Return whether the neighbour answers the container."""
        return self.works("docker", "exec", _BOX, "ping6", "-c", "1", "-W", "1", self._place.far_address)

    def has_table(self) -> bool:
        """Return whether our table is in the kernel and not empty."""
        return "masquerade" in self._do("nft", "list", "table", "inet", "dockerv6").stdout

    def network_of_box(self) -> str:
        """Return the IPv6 address of the container, or "" while it has none."""
        wanted = f'{{{{with index .NetworkSettings.Networks "{self.network}"}}}}{{{{.GlobalIPv6Address}}}}{{{{end}}}}'
        return self._do("docker", "inspect", "--format", wanted, _BOX).stdout.strip()

    def play(self) -> None:
        """Run all steps."""
        place = self._place
        self.begin(
            "Where this runs",
            f"On {place.title}.",
            f"A neighbour namespace represents the Internet with the address {place.far_address}.",
            f"It reaches the host at {place.host_address}, and has no route to any container network.",
        )
        self._from_files_to_networks()
        self._out_through_nat66()
        self._a_network_deleted_by_hand()
        self._rules_deleted_by_hand()
        self._what_is_known_about_it()
        self._a_file_removed()

    def _from_files_to_networks(self) -> None:
        self.begin("Networks are created from YAML files")
        if self._place.private:
            self.show("docker", "network", "create", "--ipv6", "--subnet", "fd12:3456:789a:4::/64", "existing")
        self.apply_examples()
        _say("   The smallest resource:")
        for line in (self.config / "01-minimal.yaml").read_text().splitlines():
            if not line.startswith("#"):
                _say(f"     {line}")
        self.show("dockerv6", "validate", str(self.config))
        self.show("dockerv6", "plan", status=(2,), tail=4)
        self.start()
        self.show("dockerv6", "wait", "v6net", "--all", "--timeout=60s")
        self.show("dockerv6", "get", "all")

    def _out_through_nat66(self) -> None:
        place = self._place
        self.begin("A container reaches the Internet through NAT66")
        self.show("docker", "run", "--detach", "--pull", "never", "--name", _BOX, "--network", self.network, IMAGE,
                  "sleep", "3600")  # fmt: skip
        self.until(self.ping, "the neighbour answers")
        self.show("docker", "exec", _BOX, "ping6", "-c", "2", place.far_address)
        with tcp_server(place.neighbour, 7000, mode="peer"):
            seen = self.show("docker", "exec", _BOX, "nc", place.far_address, "7000").strip()
        if seen != place.host_address:
            raise DemoError(f"the neighbour saw {seen}")
        self.good(f"The container is {self.network_of_box()}; the neighbour saw {seen}, the host's address.")

    def _a_network_deleted_by_hand(self) -> None:
        self.begin("The network is deleted by hand")
        before = self.network_of_box()
        self.show("docker", "network", "disconnect", "--force", self.network, _BOX)
        self.show("docker", "network", "rm", self.network)
        took = self.until(lambda: bool(self.network_of_box()) and self.ping(), "the container is back on its network")
        self.show("docker", "network", "ls", "--filter", f"name=^{self.network}$")
        self.show("docker", "exec", _BOX, "ping6", "-c", "1", self._place.far_address, tail=3)
        self.good(
            f"Created again with the same subnet; the container is attached and has connectivity after {took:.1f} s."
        )
        if before.rpartition("::")[0] != self.network_of_box().rpartition("::")[0]:
            raise DemoError(f"another subnet: {before} became {self.network_of_box()}")

    def _rules_deleted_by_hand(self) -> None:
        self.begin("The rules are deleted by hand")
        self.show("nft", "delete", "table", "inet", "dockerv6")
        took = self.until(self.has_table, "the table is back")
        self.show("nft", "list", "chain", "inet", "dockerv6", "postrouting")
        if not self.ping():
            raise DemoError("the neighbour no longer answers")
        self.good(f"Restored after {took * 1000:.0f} ms.")

    def _what_is_known_about_it(self) -> None:
        self.begin("The operator reports what it did")
        self.show("dockerv6", "describe", "v6net", self.network)
        self.show("dockerv6", "plan")
        self.show("dockerv6", "events", tail=6)

    def _a_file_removed(self) -> None:
        self.begin(
            "A file is deleted, and its network is removed",
            "This happens once no container is attached and after five seconds.",
        )
        (self.config / "01-minimal.yaml").unlink()
        self.show("docker", "rm", "--force", _BOX)
        self.show("dockerv6", "wait", f"v6net/{self.network}", "--for=delete", "--timeout=60s")
        if self.works("docker", "network", "inspect", self.network):
            raise DemoError(f"Docker network {self.network} is still there")

    def leave(self) -> None:
        """Clean up, and verify that nothing is left."""
        self.begin("Everything is removed")
        self.stop()
        self.show("dockerv6", "uninstall", "--yes")
        owned = f"label=dockerv6.io/managed-by={_INSTANCE}"
        if self._do("docker", "network", "ls", "--quiet", "--filter", owned).stdout or self.has_table():
            raise DemoError("something was left behind")
        self.good("No network, rule or state of dockerv6 is left.")


def main() -> int:
    """Run the demonstration; the exit code is 0 if every step had the expected result."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--engine", choices=("auto", "machine", "private"), default="auto")
    wanted = parser.parse_args().engine
    if os.geteuid() != 0:
        parser.error("needs root, for network namespaces and the packet filter")
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    docker_host = machine_engine() if wanted != "private" else ""
    if wanted == "machine" and not docker_host:
        parser.error("no usable engine on this machine")
    try:
        with ExitStack() as cleanup:
            _perform(docker_host, cleanup)
    except (DemoError, subprocess.SubprocessError) as error:
        _say(f"\n{_paint(_RED, 'The demonstration failed.')} {error}")
        return 1
    except KeyboardInterrupt:
        _say("\nInterrupted; everything is cleaned up.")
        return 130
    _say("\nDone. Next: README.md, and manifests/examples/ for resources to start from.")
    return 0


def _perform(docker_host: str, cleanup: ExitStack) -> None:
    sweep()
    session = Session.create()
    cleanup.callback(session.close)
    directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="dockerv6-demo-")))
    place = machine(session, docker_host, cleanup) if docker_host else private(session)
    story = Story(place, directory, session.id)
    cleanup.callback(story.remove_all)
    try:
        story.play()
        story.leave()
    except DemoError:
        _say(f"\n--- the operator's log\n{story.log()}")
        raise


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _paint(colour: str, text: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"{colour}{text}{_PLAIN}"


if __name__ == "__main__":
    sys.exit(main())
