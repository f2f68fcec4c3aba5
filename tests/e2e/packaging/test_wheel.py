"""The wheel, installed by pip, uv and pipx in fresh Debian roots without a compiler, gives a container IPv6."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.dist import wheels
from tests.e2e.packaging.conftest import BLOG
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, ping

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.debian import DebianRoot
    from tests.lab.lab import Lab

_OFFLINE = ("--no-index", "--find-links", "/wheels")
_UV = Path(sys.executable).with_name("uv")

pytestmark = [pytest.mark.timeout(1800), pytest.mark.cells("28.5")]


def _pip(root: DebianRoot, wheel: str) -> str:
    root.exec("apt-get", "install", "-y", "python3-venv")
    root.exec("python3", "-m", "venv", "/opt/dockerv6")
    root.exec("/opt/dockerv6/bin/pip", "install", *_OFFLINE, wheel)
    return "/opt/dockerv6/bin/dockerv6"


def _uv(root: DebianRoot, wheel: str) -> str:
    root.exec("apt-get", "install", "-y", "python3")
    root.copy(_UV, "/usr/local/bin/uv")
    root.exec("uv", "tool", "install", "--python", "/usr/bin/python3", *_OFFLINE, wheel)
    return "/root/.local/bin/dockerv6"


def _pipx(root: DebianRoot, wheel: str) -> str:
    root.exec("apt-get", "install", "-y", "pipx")
    # pipx has a pip of its own, which it updates at first
    environment = ("env", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels /usr/share/python-wheels")
    root.exec(*environment, "pipx", "install", wheel)
    return "/root/.local/bin/dockerv6"


@pytest.mark.parametrize("install", [_pip, _uv, _pipx], ids=["pip", "uv", "pipx"])
def test_wheel_needs_no_compiler_and_works(
    lab: Lab,
    fresh: DebianRoot,
    built: Callable[[str], Path],
    tmp_path: Path,
    install: Callable[[DebianRoot, str], str],
) -> None:
    wheel = built("*.whl")
    pure = tmp_path / "wheels"
    pure.mkdir()
    for each in wheels():
        if not each.name.startswith("python_iptables"):  # what would have to be compiled
            shutil.copy(each, pure)
    fresh.copy(pure, "/wheels")
    fresh.copy(wheel, f"/dist/{wheel.name}")
    dockerv6 = install(fresh, f"/dist/{wheel.name}")
    assert fresh.exec("which", "gcc", check=False).returncode == 1
    version = wheel.name.split("-")[1]
    assert fresh.exec(dockerv6, "--version").stdout == f"dockerv6 {version}\n"

    resource = tmp_path / "blog.yaml"
    resource.write_text(BLOG)
    fresh.copy(resource, "/etc/dockerv6.d/blog.yaml")
    assert "1 valid resource" in fresh.exec(dockerv6, "validate", "/etc/dockerv6.d").stderr
    fresh.exec("apt-get", "install", "-y", "iptables")  # docs/installation.md: iptables manages this host's filter
    fresh.exec(dockerv6, "apply", engine=lab.engine)
    client = lab.engine.run("client", "blog")
    assert ping(lab.engine, client, FAR_ADDRESS)
    assert lab.neighbour.seen_as(lab.engine, client) == HOST_ADDRESS
    report = fresh.exec(dockerv6, "doctor", engine=lab.engine, check=False).stdout
    assert "nftables: nf_tables takes our ruleset" in report
    assert "python-iptables" not in report
