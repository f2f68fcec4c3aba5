"""The Dockerfile, the Compose files and the systemd unit, each used as a user would."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import tomllib
from typing import IO, TYPE_CHECKING

import pytest

from scripts import sbom
from tests.e2e import registry
from tests.e2e.cluster import eventually
from tests.e2e.compose import COMPOSE, ComposeError, Project, operator_project
from tests.lab.cells import CELLS
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, ping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.lab.engine import Engine
    from tests.lab.lab import Lab
    from tests.lab.session import Session

_UNIT = registry.ROOT / "manifests" / "systemd" / "dockerv6.service"
_BUSYBOX = "busybox:test"
_MEGABYTE = 1_000_000
_RESOURCE = "v6net/blog"
_DISTRIBUTIONS = """
from importlib.metadata import distributions
for each in distributions():
    if each.name != "dockerv6":
        print(f"{each.name.lower().replace('_', '-')}@{each.version}")
"""
# by default the first health check is after half a minute
_SOON = {"Interval": 500_000_000}

# the first run builds the base in a minute, the image takes half a minute, and a busy machine makes it 10 times that
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def archive(lab_session: Session) -> Path:
    """The image of the committed Dockerfile, as a file for `docker load`."""
    return registry.image_archive(lab_session, CELLS["28.5"].settings, registry.TAG)


@pytest.fixture
def project(lab: Lab, archive: Path) -> Iterator[Project]:
    """The operator's Compose project on the lab's engine."""
    with operator_project(lab.engine, archive) as project:
        yield project


def _dockerv6(engine: Engine, container: str, *arguments: str) -> str:
    return engine.container_exec(container, "dockerv6", *arguments).stdout


def _wait_ready(engine: Engine, container: str) -> None:
    _dockerv6(engine, container, "wait", _RESOURCE, "--for=condition=Ready", "--timeout=60s")


def _wait_healthy(engine: Engine, container: str) -> None:
    def health() -> str:
        return str(engine.client().inspect_container(container)["State"]["Health"]["Status"])

    eventually(lambda: health() == "healthy", f"{container} is healthy")


@pytest.mark.cells("28.5")
def test_image_contains_the_operator_and_little_else(lab: Lab, archive: Path) -> None:
    registry.load_base(lab.engine)
    lab.engine.load_image(archive)
    client = lab.engine.client()
    image, base = (client.inspect_image(tag) for tag in (registry.TAG, registry.BASE))  # type: ignore[no-untyped-call]
    version = tomllib.loads((registry.ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert image["RootFS"]["Layers"][: len(base["RootFS"]["Layers"])] == base["RootFS"]["Layers"]
    assert image["Config"]["Labels"]["org.opencontainers.image.version"] == version
    assert image["Config"]["Labels"]["org.opencontainers.image.base.name"] == registry.BASE
    assert image["Size"] - base["Size"] < 40 * _MEGABYTE

    def inside(*argv: str) -> str:
        return lab.engine.docker(
            "run", "--rm", "--network", "none", "--entrypoint", argv[0], registry.TAG, *argv[1:]
        ).stdout

    assert inside("dockerv6", "--version") == f"dockerv6 {version}\n"
    # for people who look at the table, and the programs and the libraries for the host's filter
    assert inside("nft", "--version").startswith("nftables v1.1")
    assert "nf_tables" in inside("ip6tables-nft-restore", "--version")
    assert inside("python", "-W", "ignore", "-c", "import iptc; print(iptc.Table6.FILTER)") == "filter\n"
    assert inside("python", "-c", "import shutil; print(shutil.which('gcc'), shutil.which('pip'))").startswith("None")
    # the SBOM lists what is installed
    purls = {each["purl"].partition("?")[0] for each in sbom.document(inside(*sbom.DPKG_QUERY))["components"]}
    assert {"pkg:deb/debian/nftables", "pkg:deb/debian/iptables"} <= {purl.partition("@")[0] for purl in purls}
    installed = inside("python", "-c", _DISTRIBUTIONS).split()
    assert {purl for purl in purls if purl.startswith("pkg:pypi/")} == {f"pkg:pypi/{each}" for each in installed}


def test_layers_have_the_time_of_the_build_at_two_directories_only(archive: Path) -> None:
    epoch = re.search(r"^ARG SOURCE_DATE_EPOCH=(\d+)$", (registry.ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert epoch is not None
    late = set()
    with tarfile.open(archive) as image:
        (manifest,) = json.loads(_member(image, "manifest.json").read())
        for name in manifest["Layers"][-2:]:  # those before are the base's
            with tarfile.open(fileobj=_member(image, name)) as layer:
                late |= {each.name for each in layer if each.mtime not in {0, int(epoch[1])}}  # 0: opaque whiteouts
    # where COPY creates and fills a directory (docs/adr/0054)
    assert late == {"opt", "opt/dockerv6"}


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    found = archive.extractfile(name)
    assert found is not None
    return found


@pytest.mark.cells("28.5")
def test_image_needs_root_only_for_the_host(lab: Lab, archive: Path) -> None:
    lab.engine.load_image(archive)
    nobody = ("run", "--rm", "--user", "65534:65534", "--cap-drop", "ALL", "--read-only", "--network")
    assert "kind: CustomResourceDefinition" in lab.engine.docker(*nobody, "none", registry.TAG, "crds").stdout
    # an engine gives capabilities to root only (it sets no ambient ones), so the daemon can't run as another user
    asked = (*nobody, "host", "--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW", registry.TAG, "doctor")
    assert "CAP_NET_ADMIN and CAP_NET_RAW missing" in lab.engine.docker(*asked, check=False).stdout


def test_operator_in_a_container_gives_a_stack_ipv6(lab: Lab, project: Project) -> None:
    engine = lab.engine
    stack = Project.load(engine, COMPOSE / "stack.yaml")
    with pytest.raises(ComposeError, match="blog declared as external, but could not be found"):
        stack.up("client", image=_BUSYBOX)
    operator = project.up("dockerv6", image=registry.TAG, healthcheck=_SOON)
    _wait_ready(engine, operator)
    _wait_healthy(engine, operator)
    web, client = (stack.up(service, image=_BUSYBOX) for service in ("web", "client"))
    address = engine.container_addresses(web, "blog")["6"]
    assert ping(engine, client, address)
    assert ping(engine, client, FAR_ADDRESS)
    assert lab.neighbour.seen_as(engine, client) == HOST_ADDRESS
    assert engine.container_exec(client, "wget", "-q", "-O", "-", "http://www/").stdout == "hello\n"
    # a new container replaces the operator's: the state is in the volume, and nothing is recreated
    network = engine.client().inspect_network("blog")["Id"]
    engine.docker("rm", "--force", operator)
    assert ping(engine, client, FAR_ADDRESS)
    _wait_ready(engine, project.up("dockerv6", image=registry.TAG))
    assert engine.client().inspect_network("blog")["Id"] == network
    assert ping(engine, client, FAR_ADDRESS)


@pytest.mark.cells("28.5")
def test_operator_in_a_container_works_beside_iptables_legacy(make_lab: Callable[..., Lab], archive: Path) -> None:
    lab = make_lab(xtables="legacy")
    with operator_project(lab.engine, archive) as project:
        lab.engine.exec("ip6tables", "-P", "FORWARD", "DROP")
        _wait_ready(lab.engine, project.up("dockerv6", image=registry.TAG))
        client = Project.load(lab.engine, COMPOSE / "stack.yaml").up("client", image=_BUSYBOX)
        assert ping(lab.engine, client, FAR_ADDRESS)


@pytest.mark.cells("28.5")
def test_container_without_permission_to_write_sysctls_reports_the_missing_option(lab: Lab, project: Project) -> None:
    lab.engine.netexec("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=0")
    service = project.document["services"]["dockerv6"]
    service["security_opt"] = [each for each in service["security_opt"] if not each.startswith("systempaths")]
    operator = project.up("dockerv6", image=registry.TAG)
    eventually(
        lambda: "security-opt systempaths=unconfined" in _dockerv6(lab.engine, operator, "describe", _RESOURCE),
        "the status names the missing option",
    )


@pytest.mark.parametrize(
    "arguments",
    [("verify", "--man=no", "--recursive-errors=yes"), ("security", "--offline=true", "--threshold=26")],
    ids=["verify", "security"],
)
def test_systemd_finds_nothing_wrong_with_the_unit(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """With Debian's systemd, so that machines without it can run this."""
    program, units = tmp_path / "opt/dockerv6/bin/dockerv6", tmp_path / "etc/systemd/system"
    for directory in (program.parent, units):
        directory.mkdir(parents=True)
    program.touch(0o755)
    shutil.copy(_UNIT, units / "dockerv6.service")
    layers = (tmp_path, registry.debian_root("systemd", "?essential", "systemd"))
    verb, *options = arguments
    done = registry.run_in_root(layers, "systemd-analyze", verb, *options, "/etc/systemd/system/dockerv6.service")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "dockerv6.service:" not in done.stderr
