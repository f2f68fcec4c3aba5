from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from dockerv6.dockerd.address import DEFAULT, Address, resolve

if TYPE_CHECKING:
    from pathlib import Path


def test_defaults_to_the_systems_socket() -> None:
    assert resolve(None, {}) == Address(url=DEFAULT, socket="/var/run/docker.sock")
    assert resolve("unix://", {}) == resolve(None, {})


def test_reads_docker_host() -> None:
    assert resolve(None, {"DOCKER_HOST": "unix:///run/x.sock"}).socket == "/run/x.sock"


def test_an_explicit_address_wins_over_docker_host() -> None:
    address = resolve("tcp://[2001:db8::1]:2375", {"DOCKER_HOST": "unix:///run/x.sock"})
    assert (address.host, address.port, address.socket, address.tls) == ("2001:db8::1", 2375, None, None)
    assert address.ssl_context() is None


@pytest.mark.parametrize("url", ["ssh://host", "tcp://host", "tcp://:2375", "tcp://host:x", "/run/x.sock", "host:2375"])
def test_says_how_to_write_what_it_can_use(url: str) -> None:
    with pytest.raises(ValueError, match="use unix:///path or tcp://host:port"):
        resolve(url, {})


def test_says_that_certificates_are_missing(tmp_path: Path) -> None:
    environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    with pytest.raises(ValueError, match="certificate"):
        resolve("tcp://host:2376", environment)


def test_tls_variables_do_not_concern_a_socket(tmp_path: Path) -> None:
    environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    assert resolve(None, environment).tls is None


@pytest.mark.parametrize(("verify", "mode"), [("1", ssl.CERT_REQUIRED), ("", ssl.CERT_NONE)])
def test_turns_tls_on_as_docker_does(certificates: Path, verify: str, mode: ssl.VerifyMode) -> None:
    environment = {"DOCKER_TLS_VERIFY": verify, "DOCKER_CERT_PATH": str(certificates)}
    address = resolve("tcp://localhost:2376", environment)
    context = address.ssl_context()
    assert context is not None
    assert context.verify_mode is mode
