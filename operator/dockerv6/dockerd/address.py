"""The engine's address: a unix socket, or TCP with or without TLS.

The rules are the docker SDK's: ``DOCKER_HOST`` names the engine, ``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH`` turn
TLS on (https://docs.docker.com/engine/security/protect-access/).
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from docker.errors import DockerException
from docker.utils import kwargs_from_env

if TYPE_CHECKING:
    from collections.abc import Mapping

    from docker.tls import TLSConfig

DEFAULT_URL = "unix:///var/run/docker.sock"


class DockerHostError(ValueError):
    """The Docker host or its TLS configuration can't be used; the message says what to change."""


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """An engine's address; exactly one of `socket` and `host` is set.

    Attributes:
        url: as configured, for messages and for the SDK.
        socket: path of a unix socket.
        host: of a TCP address.
        port: of a TCP address.
        tls: certificates, where TLS is on.
    """

    url: str
    socket: str | None = None
    host: str | None = None
    port: int = 0
    tls: TLSConfig | None = None

    def ssl_context(self) -> ssl.SSLContext | None:
        """Create the context for a TLS connection that the SDK does not make; None without TLS.

        Raises:
            OSError: a certificate can't be read (`ssl.SSLError` is one).
        """
        if self.tls is None:
            return None
        context = ssl.create_default_context(cafile=self.tls.ca_cert if self.tls.verify else None)
        if not self.tls.verify:
            # what the user requested by setting DOCKER_CERT_PATH without DOCKER_TLS_VERIFY
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.tls.cert is not None:
            context.load_cert_chain(*self.tls.cert)
        return context


def resolve(url: str | None, environment: Mapping[str, str]) -> EngineAddress:
    """Determine the address: from an explicit URL, else from the environment, else the default socket.

    Raises:
        DockerHostError: no usable address, or certificates are missing; the message says what to change.
    """
    address = (url or environment.get("DOCKER_HOST") or DEFAULT_URL).strip()
    scheme, _, rest = address.partition("://")
    if scheme == "unix":
        # as in the docker CLI, TLS is for TCP only
        return EngineAddress(url=address, socket=f"/{rest.lstrip('/')}") if rest else resolve(DEFAULT_URL, environment)
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
        # never an empty mapping: the SDK would read this process's own environment instead
        tls = kwargs_from_env({**environment, "DOCKER_HOST": address}).get("tls")
    except (ValueError, DockerException) as error:
        raise DockerHostError(f"Docker host {address!r}: {error}; use unix:///path or tcp://host:port") from error
    if scheme != "tcp" or not host or not port:
        raise DockerHostError(f"Docker host {address!r}: unsupported address; use unix:///path or tcp://host:port")
    return EngineAddress(url=address, host=host, port=port, tls=tls)
