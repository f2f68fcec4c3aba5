import pytest

from dockerv6.hostnet import addresses, conntrack, links, neighbours, prefixes, routes, sockets
from tests.unit.hostnet.kernel import INTERFACES, Kernel

MODULES = (addresses, conntrack, links, neighbours, prefixes, routes, sockets)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    replaced = {
        "dump": made.dump,
        "stream": made.dump,
        "get": made.get,
        "command": made.command,
        "command_each": made.command_each,
        "if_nametoindex": made.index,
        "interface_name": lambda index, _: INTERFACES.get(index),
    }
    for module in MODULES:
        for name, function in replaced.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, function)
    return made
