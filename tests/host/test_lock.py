"""One operator manages a network namespace."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from dockerv6.hostnet.lock import ADDRESS, NamespaceInUse, NamespaceLock, namespace_in_use
from tests.host.network import private_network

pytestmark = pytest.mark.usefixtures("private_netns")

NOBODY = 65534
SQUATTER = f"""
import os, socket, sys
os.setuid({NOBODY})
squatters = [socket.socket(socket.AF_UNIX, getattr(socket, name)) for name in sys.argv[1:]]
for squatter in squatters:
    squatter.bind({ADDRESS!r})
print("bound", flush=True)
sys.stdin.read()
"""


@contextmanager
def squatter(*types: str) -> Iterator[None]:
    """A process of another user that has the address, with a socket of each of these types."""
    command = [sys.executable, "-c", SQUATTER, *types]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "bound\n"
        yield
        assert process.stdin is not None
        process.stdin.close()


def test_a_second_operator_is_refused_with_the_command_that_shows_the_first() -> None:
    with NamespaceLock():
        assert namespace_in_use()
        with pytest.raises(NamespaceInUse) as refused, NamespaceLock():
            pass
        command = str(refused.value).split("`")[1]
        shown = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False).stdout
        assert f"pid={os.getpid()}," in shown
    assert not namespace_in_use()
    with NamespaceLock():
        pass


def test_another_namespace_has_a_lock_of_its_own() -> None:
    with NamespaceLock(), private_network():
        assert not namespace_in_use()
        with NamespaceLock():
            pass


def test_another_user_can_not_prevent_a_start(caplog: pytest.LogCaptureFixture) -> None:
    with squatter("SOCK_STREAM"):
        assert not namespace_in_use()
        with NamespaceLock():
            assert f"user id {NOBODY} occupies" in caplog.text


@pytest.mark.parametrize("order", ["before", "after"])
def test_another_user_can_not_hide_an_operator(order: str, caplog: pytest.LogCaptureFixture) -> None:
    types = ("SOCK_DGRAM", "SOCK_SEQPACKET")
    with ExitStack() as stack:
        if order == "before":
            stack.enter_context(squatter(*types))
            assert not namespace_in_use()
        stack.enter_context(NamespaceLock())
        if order == "after":
            stack.enter_context(squatter(*types))
        assert namespace_in_use()
        with pytest.raises(NamespaceInUse), NamespaceLock():
            pass
    assert caplog.text == ""


def test_a_socket_of_another_name_is_no_operator() -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"{ADDRESS}-2")
        assert not namespace_in_use()
