"""mailcow's Compose network, with one of its services, and what its netfilter container writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.engine import Engine

STACK = """
services:
  postfix:
    image: busybox:test
    hostname: postfix
    command: [responder, tcp/25]
    ports: ["25:25"]
    networks: {mailcow-network: {aliases: [postfix]}}
networks:
  mailcow-network:
    driver: bridge
    driver_opts: {com.docker.network.bridge.name: br-mailcow}
    enable_ipv6: true
    ipam:
      driver: default
      config:
        - subnet: 172.22.1.0/24
        - subnet: fd4d:6169:6c63:6f77::/64
"""
POLICY = {"selector": {"names": ["mailcow_mailcow-network"]}}


def start_netfilter(engine: Engine) -> None:
    """What mailcow's netfilter container does when it starts: its chain comes first, in front of Docker's."""
    for command in ("-N MAILCOW", "-I INPUT -j MAILCOW", "-I FORWARD -j MAILCOW"):
        engine.exec("ip6tables", *command.split())


def ban(engine: Engine, client: str) -> None:
    """Ban a client, as mailcow's netfilter container does after failed logins."""
    engine.exec("ip6tables", "-I", "MAILCOW", "-s", client, "-j", "REJECT")
