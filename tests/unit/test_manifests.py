"""What the manifests, the Dockerfile and the documents promise, as far as it shows without running them."""

from __future__ import annotations

import re
import subprocess
import tomllib
from configparser import RawConfigParser
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from dockerv6.cli.main import main
from dockerv6.controller.git import AT_ONCE, SLOW_AT_ONCE
from dockerv6.daemon.process import WORKERS
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.client import DockerEngine

_ROOT = Path(__file__).parents[2]
_MANIFESTS = _ROOT / "manifests"
_RESOURCES = sorted([*_MANIFESTS.glob("examples/*.yaml"), *_MANIFESTS.glob("compose/**/dockerv6.d/*.yaml")])
_DOCUMENTS = sorted([*_ROOT.glob("*.md"), *_ROOT.glob("docs/**/*.md")])
_LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_VERSION = re.compile(r"(?:dockerv6(?:[:_-]| v?)|^version = \"|\bVERSION=)(\d+\.\d+(?:\.\d+)?)", re.MULTILINE)
_CODE = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


def _project() -> dict[str, Any]:
    return dict(tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"])


def _compose(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((_MANIFESTS / "compose" / name).read_text()))


def _validate(*paths: Path) -> None:
    # files of a checkout belong to the user who checked it out
    result = CliRunner().invoke(main, ["validate", *map(str, paths)])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("path", _RESOURCES, ids=lambda path: path.name)
def test_resource_is_valid_and_says_what_it_is_for(path: Path) -> None:
    _validate(path)
    assert path.read_text().startswith("# ")


def test_examples_are_valid_together() -> None:
    _validate(_MANIFESTS / "examples")


def test_stack_uses_the_network_that_the_operators_resource_makes() -> None:
    resource = yaml.safe_load((_MANIFESTS / "compose" / "dockerv6.d" / "blog.yaml").read_text())
    stack = _compose("stack.yaml")
    assert stack["networks"] == {resource["metadata"]["name"]: {"external": True}}
    assert all(resource["metadata"]["name"] in service["networks"] for service in stack["services"].values())


def test_sidecar_is_the_operators_service_beside_services_that_its_resource_selects() -> None:
    resource = yaml.safe_load((_MANIFESTS / "compose" / "sidecar" / "dockerv6.d" / "shop.yaml").read_text())
    services = _compose("sidecar/docker-compose.yaml")["services"]
    operator = _compose("docker-compose.yaml")["services"]["dockerv6"]
    assert services.pop("dockerv6") == {**operator, "build": "../../.."}
    assert all(each["labels"] == resource["spec"]["members"]["matchLabels"] for each in services.values())


def test_compose_file_gives_the_operator_what_it_needs_and_no_more() -> None:
    service = _compose("docker-compose.yaml")["services"]["dockerv6"]
    assert service["image"] == f"dockerv6:{_project()['version']}"
    assert service["network_mode"] == "host"
    assert "privileged" not in service
    assert service["cap_drop"] == ["ALL"]
    assert service["cap_add"] == ["NET_ADMIN", "NET_RAW"]
    assert service["read_only"]
    targets = {volume.split(":", 1)[1] for volume in service["volumes"]}
    assert targets == {"/var/run/docker.sock", f"{Settings().config_dirs[0]}:ro", Settings().state_dir}


def test_nothing_names_another_version_than_the_project() -> None:
    files = subprocess.run(("git", "ls-files"), cwd=_ROOT, check=True, capture_output=True, text=True).stdout.split()
    # what was measured or decided with a version, and what was changed in it
    others = ("tests/", "docs/reliability", "docs/adr/", "CHANGELOG.md")
    texts = {name: (_ROOT / name).read_text() for name in files if not name.startswith(others)}
    named = {(name, found) for name, text in texts.items() for found in _VERSION.findall(text)}
    wrong = {(name, found) for name, found in named if not f"{_project()['version']}.".startswith(f"{found}.")}
    assert wrong == set()
    assert {"Dockerfile", "README.md", "docs/installation.md"} <= {name for name, _ in named}


def test_changelog_has_the_version_and_each_change_once() -> None:
    text = (_ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## \[(.+?)\](.*)$", text, re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    assert headings[1][0] == _project()["version"]
    assert re.fullmatch(r" - \d{4}-\d\d-\d\d", headings[1][1])
    for section in text.split("\n## ")[1:]:
        kinds = re.findall(r"^### (.*)$", section, re.MULTILINE)
        assert [each for each in ("Added", "Changed", "Fixed") if each in kinds] == kinds
    changes = [" ".join(each.split("\n\n")[0].split()) for each in re.split(r"^- ", text, flags=re.MULTILINE)[1:]]
    assert [each for each in changes if not each.endswith(".")] == []  # merges cut changes in halves
    starts = [each[:30] for each in changes]
    assert [each for each in starts if starts.count(each) > 1] == []


def test_image_has_a_python_that_the_package_takes() -> None:
    text = (_ROOT / "Dockerfile").read_text()
    base = re.search(r"^ARG BASE=python:(\S+?)-", text, re.MULTILINE)
    assert base is not None
    oldest = _project()["requires-python"].removeprefix(">=")
    assert _release(base[1]) >= _release(oldest)


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _unit() -> RawConfigParser:
    parser = RawConfigParser(delimiters=("=",), strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((_MANIFESTS / "systemd" / "dockerv6.service").read_text())
    return parser


def test_unit_outlives_the_engine() -> None:
    unit = _unit()["Unit"]
    assert not {"Requires", "BindsTo", "PartOf"} & set(unit)
    assert "docker.service" in unit["After"]
    assert unit["StartLimitIntervalSec"] == "0"


def test_unit_starts_the_daemon_with_the_directories_that_are_its_defaults() -> None:
    service = _unit()["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "always"
    assert service["ExecStart"].endswith("/dockerv6 run")
    assert f"/etc/{service['ConfigurationDirectory']}" == Settings().config_dirs[0]
    assert f"/var/lib/{service['StateDirectory']}" == Settings().state_dir
    assert f"/run/{service['RuntimeDirectory']}" == Settings().run_dir


def test_unit_leaves_sysctls_writable_and_netlink_reachable() -> None:
    service = _unit()["Service"]
    assert service["ProtectKernelTunables"] == "no"
    assert "AF_NETLINK" in service["RestrictAddressFamilies"].split()
    assert "CAP_NET_ADMIN" in service["CapabilityBoundingSet"].split()


def test_unit_allows_twice_the_threads_that_the_daemon_can_have() -> None:
    pools = {
        "daemon/process.py": WORKERS,
        "controller/git.py": AT_ONCE + SLOW_AT_ONCE,
        "daemon/http.py": 1,
        "dockerd/transport.py": signature(DockerEngine).parameters["parallel"].default,
        "lib/database.py": 2,  # store and ledger
        "hostnet/linux.py": 1,
        "firewall/nftables/session.py": 1,
        "firewall/iptables/backend.py": 1,
        "firewall/hostfilter/linux.py": 1,
    }
    package = _ROOT / "operator" / "dockerv6"
    starters = {p for p in package.rglob("*.py") if re.search(r"\b(Thread|\w+PoolExecutor)\(", p.read_text())}
    of_commands = {"hostnet/namespaces.py", "daemon/preview.py"}  # the daemon never starts them
    assert {str(path.relative_to(package)) for path in starters} - of_commands == set(pools)
    watch = 1  # watchfiles: the thread that reads inotify
    assert 1 + sum(pools.values()) + watch <= int(_unit()["Service"]["TasksMax"]) // 2


@pytest.mark.parametrize("path", _DOCUMENTS, ids=lambda path: str(path.relative_to(_ROOT)))
def test_document_links_to_what_is_there(path: Path) -> None:
    links = [(path.parent / file if file else path, anchor) for file, anchor in _LINK.findall(path.read_text())]
    assert [link for link in links if not link[0].exists()] == []
    assert [(file, anchor) for file, anchor in links if anchor and anchor not in _anchors(file)] == []


def _anchors(file: Path) -> set[str]:
    """The anchors that GitHub gives to headings."""
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in _HEADING.findall(file.read_text())}


def test_resources_in_the_documents_are_valid(tmp_path: Path) -> None:
    shown = [block for path in _DOCUMENTS for block in _CODE.findall(path.read_text()) if "dockerv6.io/" in block]
    assert shown
    for number, block in enumerate(shown):
        file = tmp_path / f"{number}" / "shown.yaml"
        file.parent.mkdir()
        file.write_text(block)
        _validate(file)
