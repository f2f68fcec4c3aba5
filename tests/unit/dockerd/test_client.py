from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from dockerv6.dockerd.client import DockerEngine
from dockerv6.dockerd.model import Attachment
from dockerv6.dockerd.port import EngineApiError, EngineConflict
from tests.unit.dockerd.stub import Reply, Request, ping, serving, versions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
                return 200, {"Config": {"Labels": {"app": "shop"}}}
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
            assert found[2].image_problem == "No such image: sha256:gone (HTTP 404)"
        assert paths.count("/images/sha256:one/json") == 1
        assert "/images/sha256:unlabelled/json" not in paths
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
