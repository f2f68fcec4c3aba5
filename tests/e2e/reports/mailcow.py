"""mailcow's Compose network, as its docker-compose.yml has it, with one of its services."""

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
