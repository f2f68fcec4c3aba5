from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from dockerv6.dockerd import transport as module
from dockerv6.dockerd.address import resolve
from dockerv6.dockerd.port import EngineApiError, EngineTooOld, EngineUnavailable, NetworkNotFound
from dockerv6.dockerd.transport import DaemonThreads, Transport, explain
from tests.unit.dockerd.stub import Reply, Request, ping, serving, versions

if TYPE_CHECKING:
    from pathlib import Path

    from dockerv6.dockerd.encode import EngineApi


def transport(url: str) -> Transport:
    return Transport(resolve(url, {}), parallel=4)


def too_old(api: EngineApi) -> object:
    if api.offered < (1, 48):
        raise EngineTooOld("too old")
    return {"api": api.offered[1]}


async def test_nothing_is_sent_before_the_first_request(tmp_path: Path) -> None:
    transport(f"unix://{tmp_path}/missing.sock")
    transport("tcp://192.0.2.1:2375")


async def test_negotiates_the_api_version_once(tmp_path: Path) -> None:
    def engine(request: Request) -> Reply:
        return ping("1.41") if request.path == "/_ping" else Reply(body=[request.path], headers=versions("1.41"))

    async with serving(tmp_path / "d", engine) as stub:
        client = transport(stub.url)
        answers = await asyncio.gather(*(client.get("/networks") for _ in range(6)))
        assert answers == [["/v1.41/networks"]] * 6
        assert stub.paths().count("/_ping") == 1
        await client.close()


async def test_never_requests_more_than_the_highest_known_version(tmp_path: Path) -> None:
    async with serving(
        tmp_path / "d", lambda request: ping("1.99") if request.path == "/_ping" else Reply(headers=versions("1.99"))
    ) as stub:
        client = transport(stub.url)
        await client.get("/networks")
        assert stub.paths() == ["/_ping", "/v1.54/networks"]
        await client.close()


async def test_negotiates_again_after_a_downgrade(tmp_path: Path) -> None:
    api = "1.51"

    def engine(request: Request) -> Reply:
        if request.path == "/_ping":
            return ping(api)
        if not request.path.startswith(f"/v{api}/"):
            return Reply(400, {"message": f"client version 1.51 is too new. Maximum supported API version is {api}"})
        return Reply(body=request.body, headers=versions(api))

    async with serving(tmp_path / "d", engine) as stub:
        client = transport(stub.url)
        await client.get("/networks")
        api = "1.41"
        assert await client.post("/networks/create", lambda found: {"api": found.offered[1]}) == {"api": 41}
        await client.close()


async def test_negotiates_again_before_it_reports_that_the_engine_is_too_old(tmp_path: Path) -> None:
    api = "1.41"

    def engine(request: Request) -> Reply:
        return ping(api) if request.path == "/_ping" else Reply(body=request.body, headers=versions(api))

    async with serving(tmp_path / "d", engine) as stub:
        client = transport(stub.url)
        with pytest.raises(EngineTooOld):
            await client.post("/networks/create", too_old)
        assert stub.paths() == ["/_ping"]
        api = "1.51"
        assert await client.post("/networks/create", too_old) == {"api": 51}
        await client.close()


async def test_detects_an_upgrade_in_any_response(tmp_path: Path) -> None:
    api = "1.41"

    def engine(request: Request) -> Reply:
        return ping(api) if request.path == "/_ping" else Reply(headers=versions(api))

    async with serving(tmp_path / "d", engine) as stub:
        client = transport(stub.url)
        await client.get("/a")
        api = "1.51"
        await client.get("/b")
        await client.get("/c")
        assert stub.paths() == ["/_ping", "/v1.41/a", "/v1.41/b", "/v1.51/c"]
        await client.close()


async def test_negotiates_again_after_a_crash(tmp_path: Path) -> None:
    crashing = False

    def engine(request: Request) -> Reply:
        if crashing:
            return Reply(body=b"", headers={"Transfer-Encoding": "chunked"}, then_close=True)
        return ping() if request.path == "/_ping" else Reply(headers=versions())

    async with serving(tmp_path / "d", engine) as stub:
        client = transport(stub.url)
        await client.get("/a")
        crashing = True
        with pytest.raises(EngineUnavailable, match=rf"Docker Engine at {stub.url}: the connection was closed"):
            await client.get("/b")
        crashing = False
        await client.get("/c")
        assert stub.paths() == ["/_ping", "/v1.51/a", "/v1.51/b", "/_ping", "/v1.51/c"]
        await client.close()


async def test_a_missing_socket_is_unavailable_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"No such file or directory: is Docker running\?"):
        await transport(f"unix://{tmp_path}/missing.sock").get("/networks")


async def test_a_socket_without_a_listener_is_unavailable(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(f"{tmp_path}/d")
        with pytest.raises(EngineUnavailable, match=r"Connection refused: is Docker running\?"):
            await transport(f"unix://{tmp_path}/d").get("/networks")


async def test_a_closed_port_is_unavailable() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        with pytest.raises(EngineUnavailable, match=r"Connection refused: is Docker running\?"):
            await transport(f"tcp://127.0.0.1:{reserved.getsockname()[1]}").get("/networks")


async def test_a_timeout_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_TIMEOUT", 0.01)
    async with serving(tmp_path / "d", lambda _: None) as stub:
        with pytest.raises(EngineUnavailable, match="no response in"):
            await transport(stub.url).get("/networks")


async def test_rejects_a_server_that_is_not_an_engine(tmp_path: Path) -> None:
    async with serving(tmp_path / "d", lambda _: Reply(body=b"hello")) as stub:
        client = transport(stub.url)
        with pytest.raises(EngineApiError, match="is not a Docker Engine"):
            await client.get("/networks")
        await client.close()


async def test_an_error_response_keeps_the_engines_message(tmp_path: Path) -> None:
    refusal = Reply(404, {"message": "network x not found"}, headers=versions())
    async with serving(tmp_path / "d", lambda request: ping() if request.path == "/_ping" else refusal) as stub:
        client = transport(stub.url)
        with pytest.raises(NetworkNotFound, match=r"Docker says: network x not found$"):
            await client.get("/networks/x")
        await client.close()


async def test_sends_parameters_and_json(tmp_path: Path) -> None:
    def engine(request: Request) -> Reply:
        return ping() if request.path == "/_ping" else Reply(204, b"", headers=versions())

    async with serving(tmp_path / "d", engine) as stub:
        client = transport(stub.url)
        assert await client.get("/containers/json", {"all": "1", "filters": '{"network":["a"]}'}) is None
        await client.post("/networks/create", lambda _: {"Name": "n"})
        await client.delete("/networks/n")
        await client.get_unversioned("/version")
        assert stub.requests[1:] == [
            Request("GET", "/v1.51/containers/json?all=1&filters=%7B%22network%22%3A%5B%22a%22%5D%7D"),
            Request("POST", "/v1.51/networks/create", {"Name": "n"}),
            Request("DELETE", "/v1.51/networks/n"),
            Request("GET", "/version"),
        ]
        await client.close()


async def test_can_be_used_again_after_close(tmp_path: Path) -> None:
    async with serving(
        tmp_path / "d", lambda request: ping() if request.path == "/_ping" else Reply(headers=versions())
    ) as stub:
        client = transport(stub.url)
        await client.get("/a")
        await client.close()
        await client.get("/b")
        await client.close()


def test_reports_an_unreadable_configuration_of_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"auths": {"registry": {"auth": "not base64 of user:password"}}}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(ValueError, match="Docker host 'unix:///x'"):
        transport("unix:///x")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PermissionError(13, "x"), "Permission denied: this needs root or membership in the socket's group"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
        (OSError("plain"), "plain"),
        (OSError(), "OSError"),
    ],
)
def test_explains_errors_of_the_operating_system(error: OSError, text: str) -> None:
    assert explain(error) == text


async def test_returns_the_result_of_the_call() -> None:
    assert await DaemonThreads(1, "w").run(lambda: 42) == 42


async def test_raises_the_exception_of_the_call() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await DaemonThreads(1, "w").run(fail)


async def test_threads_are_named_daemon_threads() -> None:
    thread = await DaemonThreads(1, "dockerd").run(threading.current_thread)
    assert thread.name == "dockerd"
    assert thread.daemon


async def test_limits_parallel_calls() -> None:
    threads = DaemonThreads(2, "w")
    running, most = 0, 0
    lock, two = threading.Lock(), threading.Barrier(2)

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        two.wait()
        with lock:
            running -= 1

    await asyncio.gather(*(threads.run(work) for _ in range(8)))
    assert most == 2


async def test_a_cancelled_call_keeps_its_slot_until_it_ends() -> None:
    threads = DaemonThreads(1, "w")
    started, finish = threading.Event(), threading.Event()

    def hang() -> None:
        started.set()
        finish.wait()

    hanging = asyncio.create_task(threads.run(hang))
    await asyncio.to_thread(started.wait)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    next_one = asyncio.create_task(threads.run(lambda: "done"))
    await asyncio.sleep(0)
    assert not next_one.done()
    finish.set()
    assert await next_one == "done"


def test_drops_an_outcome_after_the_loop_has_closed() -> None:
    finish, finished = threading.Event(), threading.Event()

    def hang() -> None:
        finish.wait()
        threading.Thread(target=finished.set).start()

    async def leave() -> None:
        task = asyncio.create_task(DaemonThreads(1, "w").run(hang))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    finish.set()
    assert finished.wait(60)
