"""The lab's command line: `python -m tests.lab start box --cell 20.10-on`, `… docker box ps`, `… stop box`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace

from tests.lab import firewalls, packages, radvd
from tests.lab.cells import CELLS, choose, choose_matrix
from tests.lab.engine import Engine
from tests.lab.lab import Station
from tests.lab.session import Session, sweep
from tests.lab.settings import XTABLES_VARIANTS, Settings


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    build = verbs.add_parser("build", help="download and extract engines' trees, radvd, Compose, ufw and firewalld")
    build.add_argument(
        "version", nargs="*", help=f"of {', '.join(packages.VERSIONS)}, or cells (core, all); default core"
    )
    start = verbs.add_parser("start", help="start an engine with a neighbour and the test image; it stays until `stop`")
    start.add_argument("name")
    start.add_argument("--cell", choices=CELLS, default="28.5")
    start.add_argument("--xtables", choices=XTABLES_VARIANTS)
    start.add_argument("--config", type=json.loads, help="daemon.json instead of the cell's")
    start.add_argument("--arg", action="append", default=[], help="an argument for dockerd; repeatable")
    for verb, text in (
        ("docker", "run the engine's docker client"),
        ("exec", "run a program of the engine's tree in the engine's namespaces"),
        ("netexec", "run this machine's program in the engine's network namespace"),
    ):
        command = verbs.add_parser(verb, help=text)
        command.add_argument("name")
        command.add_argument("argv", nargs=argparse.REMAINDER)
    for verb, text in (
        ("stop", "remove an engine and all that is its own"),
        ("kill", "kill an engine; `recover` starts it"),
    ):
        verbs.add_parser(verb, help=text).add_argument("name")
    verbs.add_parser("recover", help="start a killed engine again").add_argument("name")
    verbs.add_parser("list", help="list the engines that were started by hand")
    verbs.add_parser("sweep", help="remove what dead test runs left")
    sys.exit(_VERBS[(options := parser.parse_args()).verb](options))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _build(options: argparse.Namespace) -> int:
    _say(
        f"radvd\t{radvd.program()}\ncompose\t{packages.compose()[-1]}\n"
        f"compose 1.29\t{packages.compose_v1()[-1]}\nfirewalls\t{firewalls.tree()}"
    )
    for wanted in options.version or ["core"]:
        names = [] if wanted in packages.VERSIONS else choose(wanted) + choose_matrix(wanted)
        versions = [CELLS[name].settings.version for name in names] or [wanted]
        for version in dict.fromkeys(versions):
            before = time.monotonic()
            path = packages.tree(version)
            _say(f"{version}\t{path}\t{time.monotonic() - before:.1f} s")
    return 0


def _start(options: argparse.Namespace) -> int:
    session = Session.keep(options.name)
    if _engines(session):
        sys.exit(f"{options.name} is there already")
    settings: Settings = CELLS[options.cell].settings
    settings = replace(
        settings,
        xtables=options.xtables or settings.xtables,
        config=settings.config if options.config is None else options.config,
        arguments=tuple(options.arg),
    )
    try:
        engine = Station.build(session, settings).engine
    except BaseException:
        session.close()
        raise
    _say(f"DOCKER_HOST={engine.docker_host}\nnetns={engine.netns}\nlog={engine.log}")
    return 0


def _list(_options: argparse.Namespace) -> int:
    for name in Session.kept():
        for engine in _engines(Session.keep(name)):
            state = f"up {engine.pid}" if engine.alive else "down"
            _say(f"{name}\t{engine.version}\t{engine.settings.xtables}\t{engine.netns}\t{engine.docker_host}\t{state}")
    return 0


def _stop(options: argparse.Namespace) -> int:
    Session.keep(options.name).close()
    return 0


def _kill(options: argparse.Namespace) -> int:
    _engine(options.name).kill()
    return 0


def _recover(options: argparse.Namespace) -> int:
    _engine(options.name).start()
    return 0


def _docker(options: argparse.Namespace) -> int:
    return subprocess.run(_engine(options.name).enter(["docker", *options.argv]), check=False).returncode


def _exec(options: argparse.Namespace) -> int:
    return subprocess.run(_engine(options.name).enter(options.argv), check=False).returncode


def _netexec(options: argparse.Namespace) -> int:
    return subprocess.run(_engine(options.name).namespace.enter(options.argv), check=False).returncode


def _sweep(_options: argparse.Namespace) -> int:
    _say(" ".join(sweep()) or "nothing left")
    return 0


def _engines(session: Session) -> list[Engine]:
    return [Engine.load(session, path.parent.name) for path in sorted(session.directory.glob("*/engine.json"))]


def _engine(name: str) -> Engine:
    engines = _engines(Session.keep(name)) if name in Session.kept() else []
    if not engines:
        sys.exit(f"no engine {name}; there are: {' '.join(Session.kept()) or 'none'}")
    return engines[0]


_VERBS = {
    "build": _build,
    "start": _start,
    "list": _list,
    "stop": _stop,
    "kill": _kill,
    "recover": _recover,
    "docker": _docker,
    "exec": _exec,
    "netexec": _netexec,
    "sweep": _sweep,
}
