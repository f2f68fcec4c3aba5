"""A resolver that answers every AAAA query with one address, and all others with nothing; UDP, IPv4 and IPv6."""

import selectors
import signal
import socket
import sys

_AAAA = b"\x00\x1c\x00\x01"


def main() -> None:
    """Serve until killed, at most for four minutes."""
    signal.alarm(240)
    address = socket.inet_pton(socket.AF_INET6, sys.argv[1])
    selector = selectors.DefaultSelector()
    for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        server = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind((any_address, 53))
        selector.register(server, selectors.EVENT_READ, server)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        for key, _ in selector.select():
            query, client = key.data.recvfrom(4096)
            end = query.index(0, 12) + 5
            known = query[end - 4 : end] == _AAAA
            answer = b"\xc0\x0c" + _AAAA + (60).to_bytes(4, "big") + (16).to_bytes(2, "big") + address if known else b""
            counts = b"\0\1" + (b"\0\1" if known else b"\0\0") + bytes(4)
            key.data.sendto(query[:2] + b"\x81\x80" + counts + query[12:end] + answer, client)


main()
