from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from dockerv6.dockerd.address import DEFAULT_URL, EngineAddress, resolve

if TYPE_CHECKING:
    from pathlib import Path


def test_defaults_to_the_systems_socket() -> None:
    assert resolve(None, {}) == EngineAddress(url=DEFAULT_URL, socket="/var/run/docker.sock")
    assert resolve("unix://", {}) == resolve(None, {})


def test_reads_docker_host() -> None:
    assert resolve(None, {"DOCKER_HOST": "unix:///run/x.sock"}).socket == "/run/x.sock"


def test_an_explicit_address_wins_over_docker_host() -> None:
    address = resolve("tcp://[2001:db8::1]:2375", {"DOCKER_HOST": "unix:///run/x.sock"})
    assert (address.host, address.port, address.socket, address.tls) == ("2001:db8::1", 2375, None, None)
    assert address.ssl_context() is None


@pytest.mark.parametrize("url", ["ssh://host", "tcp://host", "tcp://:2375", "tcp://host:x", "/run/x.sock", "host:2375"])
def test_rejects_an_unsupported_address_with_a_remedy(url: str) -> None:
    with pytest.raises(ValueError, match="use unix:///path or tcp://host:port"):
        resolve(url, {})


def test_reports_missing_certificates(tmp_path: Path) -> None:
    environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    with pytest.raises(ValueError, match="certificate"):
        resolve("tcp://host:2376", environment)


def test_a_socket_ignores_tls_variables(tmp_path: Path) -> None:
    environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    assert resolve(None, environment).tls is None


@pytest.mark.parametrize(("verify", "mode"), [("1", ssl.CERT_REQUIRED), ("", ssl.CERT_NONE)])
def test_enables_tls_as_the_docker_cli_does(certificates: Path, verify: str, mode: ssl.VerifyMode) -> None:
    environment = {"DOCKER_TLS_VERIFY": verify, "DOCKER_CERT_PATH": str(certificates)}
    address = resolve("tcp://localhost:2376", environment)
    context = address.ssl_context()
    assert context is not None
    assert context.verify_mode is mode
