"""moby/moby#17666: a published port must show the client's address, and not the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually, network_yaml
from tests.e2e.site import RESPONDER, published
from tests.lab.net import NEIGHBOUR_ADDRESS
from tests.lab.probe import PATIENCE, SILENCE, ask

if TYPE_CHECKING:
    from tests.lab.lab import Lab

_STACK = {"stack": "mail"}


@pytest.mark.core_cells("20.10-off", "20.10-on", "28.5")
def test_a_running_stack_sees_its_clients_once_it_is_a_member(lab: Lab) -> None:
    lab.engine.docker("network", "create", "mail_default")
    lab.engine.run("mail", "mail_default", command=RESPONDER, ports={"80/tcp": 8080}, labels=_STACK)
    place = lab.neighbour.namespace.path

    def client(patience: float = SILENCE) -> str:
        answer = ask(place, published(8080), patience=patience)
        return str(answer.client) if answer is not None else ""

    assert eventually(client, "the engine's proxy answers") != NEIGHBOUR_ADDRESS
    operator = lab.operator()
    operator.apply_yaml("mail.yaml", network_yaml("mail", {"members": {"matchLabels": _STACK}}))
    operator.start()
    eventually(lambda: client() == NEIGHBOUR_ADDRESS, "the client's own address is seen")
    assert {client(PATIENCE) for _ in range(20)} == {NEIGHBOUR_ADDRESS}
