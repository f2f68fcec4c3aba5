"""moby/moby#32675: with IPv6 name servers only, containers must resolve names of the Internet and their own."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually
from tests.lab.net import FAR_ADDRESS
from tests.lab.process import end

if TYPE_CHECKING:
    from tests.e2e.reports.host import Host

_STACK = f"""
services:
  app:
    image: busybox:test
    command: [sleep, "3600"]
    dns: ["{FAR_ADDRESS}"]
  db:
    image: busybox:test
    command: [sleep, "3600"]
networks:
  default: {{external: true, name: names}}
"""
# a name server that answers every question for AAAA with one address, and every other one with no record
_SERVER = """
import socket, struct, sys
server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
print("ready", flush=True)
while True:
    query, client = server.recvfrom(512)
    end = query.index(0, 12) + 5
    found = query[end - 4 : end - 2] == struct.pack("!H", 28)
    answer = struct.pack("!HHHIH16s", 0xC00C, 28, 1, 60, 16, socket.inet_pton(socket.AF_INET6, sys.argv[1]))
    header = query[:2] + struct.pack("!HHHHH", 0x8180, 1, found, 0, 0)
    server.sendto(header + query[12:end] + answer * found, client)
"""


@pytest.mark.cells("28.5")
def test_names_are_resolved_by_a_name_server_with_ipv6(host: Host) -> None:
    host.network("names", {"ipv4": {"enabled": False}})
    stack = host.stack("names", _STACK)
    stack.up()
    app, db = stack.container("app"), stack.container("db")
    server = host.lab.neighbour.namespace.popen([sys.executable, "-I", "-S", "-c", _SERVER, FAR_ADDRESS])
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"

        def resolves(name: str, address: str) -> bool:
            return address in host.engine.container_exec(app, "nslookup", name, check=False).stdout

        eventually(lambda: resolves("www.example.org", FAR_ADDRESS), "a name of the Internet")
        eventually(lambda: resolves("db", host.address(db, "names")), "a name of the stack")
        assert socket.inet_pton(socket.AF_INET6, host.address(db, "names"))
    finally:
        end(server)
