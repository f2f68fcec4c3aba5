from dockerv6.daemon.doctor import suspects


def test_only_containers_on_the_hosts_network_are_suspected() -> None:
    running = [
        ("ipv6nat", "", "host"),
        ("stack-nat-1", "docker-ipv6nat", "host"),
        ("ipv6nat-web", "", "bridge"),
        ("web", "web", "host"),
    ]
    assert suspects(running) == ("ipv6nat", "stack-nat-1")
