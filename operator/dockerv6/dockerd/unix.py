"""HTTP through a unix socket, for requests.

The docker SDK has an adapter of its own. It leaves the socket of a failed connection attempt to the garbage collector,
and an engine that is down is our everyday case.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests import PreparedRequest


class _Connection(HTTPConnection):
    def __init__(self, *args: object, socket_path: str, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # the pool's arguments, passed on as they are
        self._socket_path = socket_path

    def connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self.timeout)
            connection.connect(self._socket_path)
        except BaseException:
            connection.close()
            raise
        self.sock = connection


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class UnixAdapter(HTTPAdapter):
    """Sends all requests of its session through one unix socket."""

    def __init__(self, socket_path: str, parallel: int) -> None:
        """Take the socket's path, and how many connections to keep open for the next requests."""
        super().__init__()
        self._socket_path = socket_path
        self._parallel = parallel
        self._pool = self._new_pool()

    def _new_pool(self) -> _Pool:
        return _Pool("localhost", maxsize=self._parallel, socket_path=self._socket_path)

    def get_connection_with_tls_context(
        self,
        request: PreparedRequest,  # noqa: ARG002 - the signature of requests (>= 2.32)
        verify: object,  # noqa: ARG002
        proxies: object = None,  # noqa: ARG002
        cert: object = None,  # noqa: ARG002
    ) -> HTTPConnectionPool:
        """Give the one pool."""
        return self._pool

    def request_url(self, request: PreparedRequest, proxies: Mapping[str, str] | None) -> str:  # noqa: ARG002
        """Give the path alone: there is no proxy on the way."""
        return request.path_url

    def close(self) -> None:
        """Close idle connections. Later requests open new ones, as with every adapter of requests."""
        self._pool.close()
        self._pool = self._new_pool()
        super().close()
