from __future__ import annotations

import json
import re
from dataclasses import replace
from ipaddress import IPv6Address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from dockerv6.api.conditions import Reason
from dockerv6.dockerd.client import DockerEngine
from dockerv6.dockerd.model import Attachment, NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import EngineApiError, EngineConflict, EngineUnavailable, StaleNetwork
from tests.unit.dockerd.stub import Reply, Request, ping, serving, versions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

VERSION = {"Version": "28.5.2"}
OLD_ID, NEW_ID, CONTAINER = "a" * 64, "b" * 64, "c" * 64
WEB = Attachment(CONTAINER, "web", running=True)


def engine(
    answer: Callable[[str, str], tuple[int, object]], paths: list[str] | None = None
) -> Callable[[Request], Reply]:
    """Respond to the part of a path after the API version."""

    def handle(request: Request) -> Reply:
        if request.path == "/_ping":
            return ping("1.41", "20.10.24")
        path = unquote(request.path.removeprefix("/v1.41"))
        if paths is not None:
            paths.append(path)
        status, body = answer(request.method, path)
        return Reply(status, body, headers=versions("1.41", "20.10.24"))

    return handle


async def test_returns_the_oldest_of_several_networks_with_one_name(tmp_path: Path) -> None:
    networks = [
        {"Id": NEW_ID, "Name": "twin", "Driver": "bridge", "Created": "2026-11-23T03:00:12Z"},
        {"Id": OLD_ID, "Name": "twin", "Driver": "bridge", "Created": "2026-11-23T03:00:11.5Z"},
        {"Id": "d" * 64, "Name": "twins", "Driver": "bridge", "Created": "2026-11-23T03:00:10Z"},
    ]

    def answer(_: str, path: str) -> tuple[int, object]:
        if path == "/networks/twin":
            return 400, {"message": "network twin is ambiguous (2 matches found on name)"}
        if path == f"/networks/{OLD_ID}":
            return 200, networks[1]
        assert path == '/networks?filters={"name":+["twin"]}'
        return 200, networks

    async with serving(tmp_path / "d", engine(answer)) as stub:
        docker = DockerEngine(stub.url, environment={})
        network = await docker.network("twin")
        assert network is not None
        assert network.id == OLD_ID
        await docker.close()


async def test_omits_containers_that_vanish_during_the_listing(tmp_path: Path) -> None:
    def answer(_: str, path: str) -> tuple[int, object]:
        match path.split("/"):
            case ["", "networks", _]:
                return 200, {"Id": OLD_ID, "Name": "n1", "Driver": "bridge"}
            case ["", "containers", "gone", "json"]:
                return 404, {"message": "No such container: gone"}
            case ["", "containers", "kept", "json"]:
                entry = {"NetworkID": OLD_ID}
                return 200, {"Id": "kept", "Name": "/kept", "NetworkSettings": {"Networks": {"n1": entry}}}
        return 200, [{"Id": "gone"}, {"Id": "kept"}]

    paths: list[str] = []
    async with serving(tmp_path / "d", engine(answer, paths)) as stub:
        docker = DockerEngine(stub.url, environment={})
        assert [one.container_name for one in await docker.attachments(OLD_ID)] == ["kept"]
        assert f"/containers/json?all=1&filters={json.dumps({'network': [OLD_ID, 'n1']}).replace(' ', '+')}" in paths
        await docker.close()


async def test_lists_running_containers_with_one_request(tmp_path: Path) -> None:
    paths: list[str] = []
    listing = [{"Id": "b", "Names": ["/web"]}, {"Id": "a", "Names": ["/api"]}]
    async with serving(tmp_path / "d", engine(lambda _, __: (200, listing), paths)) as stub:
        docker = DockerEngine(stub.url, environment={})
        assert [container.name for container in await docker.containers()] == ["api", "web"]
        assert paths == ["/containers/json"]
        await docker.close()


async def test_inspects_a_container_once_whose_listed_ports_do_not_say_what_was_written(tmp_path: Path) -> None:
    def ports(*addresses: str) -> list[dict[str, object]]:
        return [{"IP": each, "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"} for each in addresses]

    listing = [
        {"Id": "clear", "Ports": ports("0.0.0.0", "::")},
        {"Id": "gone", "Ports": ports("0.0.0.0")},
        {"Id": "open", "Ports": ports("0.0.0.0")},
        {"Id": "written", "Ports": ports("0.0.0.0")},
    ]

    def answer(_: str, path: str) -> tuple[int, object]:
        match path:
            case "/containers/json":
                return 200, listing
            case "/containers/gone/json":
                return 404, {"message": "No such container: gone"}
        name = path.split("/")[2]
        target = {"HostIp": "0.0.0.0" if name == "written" else "", "HostPort": "8080"}
        return 200, {"Id": name, "HostConfig": {"PortBindings": {"80/tcp": [target]}}}

    paths: list[str] = []
    async with serving(tmp_path / "d", engine(answer, paths)) as stub:
        docker = DockerEngine(stub.url, environment={})
        for _ in range(2):
            found = await docker.containers()
            assert [[b.ipv4_only for b in c.ports] for c in found] == [[False, False], [True], [False], [True]]
        assert paths.count("/containers/written/json") == paths.count("/containers/open/json") == 1
        assert "/containers/clear/json" not in paths
        await docker.close()


async def test_inspects_each_image_once_and_keeps_going_without_those_that_are_gone(tmp_path: Path) -> None:
    labelled = {"Labels": {"app": "shop", "role": "db"}}
    listing = [
        {"Id": "a", "ImageID": "sha256:one", **labelled},
        {"Id": "b", "ImageID": "sha256:one", **labelled},
        {"Id": "c", "ImageID": "sha256:gone", **labelled},
        {"Id": "d", "ImageID": "sha256:unlabelled"},
    ]

    def answer(_: str, path: str) -> tuple[int, object]:
        match path:
            case "/images/sha256:one/json":
                return 200, {"Id": "sha256:one", "Config": {"Labels": {"app": "shop"}}}
            case "/images/sha256:gone/json":
                return 404, {"message": "No such image: sha256:gone"}
        return 200, listing

    paths: list[str] = []
    async with serving(tmp_path / "d", engine(answer, paths)) as stub:
        docker = DockerEngine(stub.url, environment={})
        for _ in range(2):
            found = await docker.containers()
            assert [container.labels for container in found] == [{"role": "db"}, {"role": "db"}, {}, {}]
            assert found[2].image_labels == labelled["Labels"]
            assert found[2].image_problem == "No such image: sha256:gone"
        assert paths.count("/images/sha256:one/json") == 1
        assert "/images/sha256:unlabelled/json" not in paths
        await docker.close()


NOT_THE_ENGINES = [b"<html>Sign in</html>", b'[{"Id": "a"', b'"text"', b"", None, {"message": "denied"}]
"""Bodies of a socket proxy, of a truncated response, of another server."""


@pytest.mark.parametrize("body", NOT_THE_ENGINES)
@pytest.mark.parametrize(
    "read",
    [
        lambda docker: docker.info(),
        lambda docker: docker.networks(),
        lambda docker: docker.network("n1"),
        lambda docker: docker.attachments(OLD_ID),
        lambda docker: docker.networks_in_use(),
        lambda docker: docker.orphaned_attachments("n1"),
        lambda docker: docker.containers(),
        lambda docker: docker.running_container_ids(),
        lambda docker: docker.create_network(NetworkSpec("n1")),
    ],
)
async def test_a_response_that_is_not_the_engines_never_reads_as_nothing(
    tmp_path: Path, body: object, read: Callable[[DockerEngine], Awaitable[object]]
) -> None:
    async with serving(tmp_path / "d", engine(lambda _, __: (200, body))) as stub:
        docker = DockerEngine(stub.url, environment={})
        with pytest.raises(EngineUnavailable, match="proxy"):
            await read(docker)
        await docker.close()


@pytest.mark.parametrize("body", NOT_THE_ENGINES)
async def test_a_container_that_can_not_be_inspected_is_not_gone(tmp_path: Path, body: object) -> None:
    def answer(_: str, path: str) -> tuple[int, object]:
        match path.split("/"):
            case ["", "networks", _]:
                return 200, {"Id": OLD_ID, "Name": "n1", "Driver": "bridge"}
            case ["", "containers", _, "json"]:
                return 200, body
        return 200, [{"Id": CONTAINER}, None]

    async with serving(tmp_path / "d", engine(answer)) as stub:
        docker = DockerEngine(stub.url, environment={})
        with pytest.raises(EngineUnavailable, match="proxy"):
            await docker.attachments(OLD_ID)
        await docker.close()


async def test_an_image_that_can_not_be_inspected_is_a_problem_of_its_containers(tmp_path: Path) -> None:
    listing = [{"Id": "a", "ImageID": "sha256:odd", "Labels": {"app": "shop"}}, {"Id": "b", "ImageID": "sha256:odd"}]

    def answer(_: str, path: str) -> tuple[int, object]:
        return 200, VERSION if path == "/version" else None if path.startswith("/images/") else listing

    paths: list[str] = []
    async with serving(tmp_path / "d", engine(answer, paths)) as stub:
        docker = DockerEngine(stub.url, environment={})
        for _ in range(2):
            odd, unlabelled = await docker.containers()
            assert "did not send an image, but null" in odd.image_problem
            assert unlabelled.image_problem == ""
        assert paths.count("/images/sha256:odd/json") == 1  # it may have hung: it is not asked again at once
        await docker.close()


def one_odd_container(reply: Reply | None) -> Callable[[Request], Reply | None]:
    """An engine with two containers, one of which gets this reply when it is inspected; None: no reply at all."""

    def listed(name: str) -> dict[str, object]:
        entry = {"NetworkID": OLD_ID, "GlobalIPv6Address": "fd00::5", "Aliases": None}
        networks = {"Networks": {"n1": entry}}
        return {"Id": name, "Names": [f"/{name}"], "State": "paused", "NetworkSettings": networks}

    def handle(request: Request) -> Reply | None:
        def ok(body: object) -> Reply:
            return Reply(body=body, headers=versions())

        match request.path.removeprefix("/v1.51").partition("?")[0].split("/"):
            case ["", "_ping"]:
                return ping()
            case ["", "version"]:
                return ok(VERSION)
            case ["", "networks", _]:
                return ok({"Id": OLD_ID, "Name": "n1", "Driver": "bridge"})
            case ["", "containers", "odd", "json"]:
                return reply
            case ["", "containers", "web", "json"]:
                entry = {"NetworkID": OLD_ID, "Aliases": ["db"]}
                return ok({"Id": "web", "Name": "/web", "NetworkSettings": {"Networks": {"n1": entry}}})
        return ok([listed("odd"), listed("web")])

    return handle


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (Reply(500, {"message": "layer is missing"}), "layer is missing"),
        (Reply(body=b"<html>"), "is not JSON: '<html>'"),
        (Reply(body={}), "did not send a container, but {}"),
        (Reply(503, b"<html>Bad gateway"), "Bad gateway"),
        (None, "no response in 0 s"),
    ],
    ids=["error", "no JSON", "not a container", "bad gateway", "hangs"],
)
async def test_a_container_that_can_not_be_inspected_is_a_problem_of_its_own(
    tmp_path: Path, reply: Reply | None, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reply is None:
        monkeypatch.setattr("dockerv6.dockerd.client.INSPECT_TIMEOUT", 0.2)
    async with serving(tmp_path / "d", one_odd_container(reply)) as stub:
        docker = DockerEngine(stub.url, environment={})
        odd, web = await docker.attachments(OLD_ID)
        assert problem in odd.problem
        assert replace(odd, problem="") == Attachment(
            "odd", "odd", running=True, ipv6=IPv6Address("fd00::5"), complete=False
        )
        assert (web.aliases, web.problem, web.complete) == (("db",), "", True)
        await docker.close()


async def test_a_network_that_can_not_be_inspected_does_not_make_the_engine_unavailable(tmp_path: Path) -> None:
    def answer(_: str, path: str) -> tuple[int, object]:
        return 200, VERSION if path == "/version" else {}

    async with serving(tmp_path / "d", engine(answer)) as stub:
        docker = DockerEngine(stub.url, environment={})
        with pytest.raises(EngineApiError, match="did not send a network"):
            await docker.network("n1")
        await docker.close()


STALE = f"cannot create network {NEW_ID} (v6-shop): conflicts with network {OLD_ID} (v6-shop): "


@pytest.mark.parametrize("why", ["networks have same bridge name", "networks have overlapping IPv6"])
@pytest.mark.parametrize("ipv4", ["", "192.0.2.0/24"])
async def test_what_conflicts_with_a_network_that_the_engine_does_not_list_has_a_remedy_of_its_own(
    tmp_path: Path, why: str, ipv4: str
) -> None:
    def answer(method: str, path: str) -> tuple[int, object]:
        if method == "POST":
            return 403, {"message": STALE + why}
        assert path == f"/networks/{OLD_ID[:12]}"
        return 404, {"message": f"network {OLD_ID[:12]} not found"}

    subnets = [ip_network(subnet) for subnet in ("2001:db8::/64", ipv4) if subnet]
    async with serving(tmp_path / "d", engine(answer)) as stub:
        docker = DockerEngine(stub.url, environment={})
        with pytest.raises(StaleNetwork, match=re.escape(why)) as caught:
            await docker.create_network(NetworkSpec("shop", ipam=tuple(map(SubnetConfig, subnets))))
        assert caught.value.reason == Reason.STALE_NETWORK
        assert "another spec.bridge.name and spec.addressing.subnet" in str(caught.value)
        assert ("spec.ipv4.subnet" in str(caught.value)) == bool(ipv4)
        await docker.close()


@pytest.mark.parametrize("inspected", [(200, {"Id": OLD_ID, "Name": "other"}), (500, {"message": "busy"}), (200, {})])
async def test_a_conflict_with_a_network_that_may_exist_is_an_ordinary_one(
    tmp_path: Path, inspected: tuple[int, object]
) -> None:
    def answer(method: str, path: str) -> tuple[int, object]:
        if path == "/version":
            return 200, VERSION
        return (403, {"message": STALE + "networks have same bridge name"}) if method == "POST" else inspected

    async with serving(tmp_path / "d", engine(answer)) as stub:
        docker = DockerEngine(stub.url, environment={})
        with pytest.raises(EngineConflict) as caught:
            await docker.create_network(NetworkSpec("shop"))
        assert caught.value.reason == Reason.NAME_CONFLICT
        await docker.close()


async def test_a_redirected_change_is_no_success(tmp_path: Path) -> None:
    async with serving(tmp_path / "d", engine(lambda _, __: (302, b""))) as stub:
        docker = DockerEngine(stub.url, environment={})
        with pytest.raises(EngineUnavailable, match="redirected"):
            await docker.remove_network(OLD_ID)
        await docker.close()


async def test_a_change_without_a_body_is_success(tmp_path: Path) -> None:
    async with serving(tmp_path / "d", engine(lambda _, __: (200, b""))) as stub:
        docker = DockerEngine(stub.url, environment={})
        await docker.connect(OLD_ID, WEB)
        await docker.disconnect(OLD_ID, CONTAINER)
        await docker.remove_network(OLD_ID)
        await docker.close()


async def test_connecting_a_container_of_the_host_network_fails(tmp_path: Path) -> None:
    message = (
        "container sharing network namespace with another container or host cannot be connected to any other network"
    )
    async with serving(tmp_path / "d", engine(lambda _, __: (400, {"message": message}))) as stub:
        docker = DockerEngine(stub.url, environment={})
        with pytest.raises(EngineApiError, match="sharing network namespace") as caught:
            await docker.connect(OLD_ID, WEB)
        assert type(caught.value) is EngineApiError
        await docker.close()


async def test_predefined_networks_have_no_orphaned_attachments(tmp_path: Path) -> None:
    docker = DockerEngine(f"unix://{tmp_path}/missing.sock", environment={})
    assert await docker.orphaned_attachments("bridge") == ()


@pytest.mark.parametrize("attached", [True, False])
async def test_an_existing_endpoint_is_success_only_if_it_is_the_containers_own(
    tmp_path: Path, *, attached: bool
) -> None:
    def answer(method: str, _: str) -> tuple[int, object]:
        if method == "POST":
            return 403, {"message": "endpoint with name web already exists in network n1"}
        entry = {"NetworkID": OLD_ID if attached else NEW_ID}
        return 200, {"Id": CONTAINER, "Name": "/web", "NetworkSettings": {"Networks": {"n1": entry}}}

    async with serving(tmp_path / "d", engine(answer)) as stub:
        docker = DockerEngine(stub.url, environment={})
        if attached:
            await docker.connect(OLD_ID, WEB)
        else:
            with pytest.raises(EngineConflict, match="already exists"):
                await docker.connect(OLD_ID, WEB)
        await docker.close()


async def test_reads_its_address_from_the_environment(tmp_path: Path) -> None:
    async with serving(tmp_path / "d", engine(lambda _, __: (200, []))) as stub:
        docker = DockerEngine(environment={"DOCKER_HOST": stub.url})
        assert await docker.networks() == ()
        await docker.close()


def test_an_unusable_address_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="ssh://host"):
        DockerEngine("ssh://host", environment={})
