"""The whole operator with labels that people set on Docker networks and containers."""

from functools import partial

from dockerv6.api.kinds import POLICY
from dockerv6.controller.operator import PROBLEMS_INTERVAL
from dockerv6.planning.inputs import NETWORK_LABEL, POLICY_LABEL
from dockerv6.store.model import WARNINGS
from tests.simulation.resources import network, policy
from tests.world import Host

AT_ONCE = 0
MEMBER = {NETWORK_LABEL: "blog"}


async def warned(host: Host) -> list[str]:
    """What `get` and `doctor` show."""
    record = (await host.store.records(WARNINGS)).get("labels", {})
    messages = record.get("messages", [])
    assert isinstance(messages, list)
    return [message.partition(" has no effect")[0] for message in messages]


async def test_a_container_is_attached_at_once_and_follows_its_label_and_the_resource() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        web = host.engine.run_container("web", "bridge", labels=MEMBER, ports=("8080:80",))
        host.engine.run_container("image", "bridge", labels=MEMBER, image_labels=MEMBER)
        await at_work.let(AT_ONCE)
        assert await host.attached("blog") == {"web"}
        assert host.ports() == {"tcp 8080 ::": "web:80"}
        for change in (partial(host.engine.restart_container, web), partial(host.engine.rename_container, web, "new")):
            change()
            await at_work.let(1)
        assert await host.attached("blog") == {"new"}
        host.files.write(network(members={"allowLabel": False}))
        await at_work.let(1)
        assert await host.attached("blog") == frozenset()
        host.files.write(network(members={"allowedComposeProjects": ["shop"]}))
        await at_work.let(1)
        assert await host.attached("blog") == frozenset()
        host.files.write(network())
        await at_work.let(1)
        assert await host.attached("blog") == {"new"}
        host.files.delete("blog")
        await at_work.let(10)
        assert await host.docker("blog") is None
        assert {c.name for c in await host.engine.containers()} == {"new", "image"}


async def test_a_container_that_was_there_first_is_attached_to_its_network() -> None:
    host = Host()
    host.engine.run_container("web", "bridge", labels=MEMBER)
    async with host.running() as at_work:
        await at_work.let(1)
        host.files.write(network())
        await at_work.let(1)
        assert await host.attached("blog") == {"web"}


async def test_a_network_gets_the_policy_that_its_label_chooses_and_no_other_one() -> None:
    host = Host()
    host.files.write(policy("all"), policy("chosen"))
    async with host.running() as at_work:
        await at_work.let(1)
        await host.create_foreign("shop", "fd99:1::/64", **{POLICY_LABEL: "chosen"})
        await host.create_foreign("other", "fd99:2::/64")
        await host.create_foreign("early", "fd99:3::/64", **{POLICY_LABEL: "later"})
        await at_work.let(1)

        async def matched(name: str) -> set[str]:
            found = (await host.stored(name, POLICY)).status["matched"]
            assert isinstance(found, list)
            return {each["name"] for each in found}

        assert (await matched("all"), await matched("chosen")) == ({"early", "other"}, {"shop"})
        await at_work.let(PROBLEMS_INTERVAL)
        assert await warned(host) == ["Docker network early: label 'dockerv6.io/policy=later'"]
        host.files.write(policy("all"), policy("chosen"), policy("later"))
        await at_work.let(2 * PROBLEMS_INTERVAL)
        assert (await matched("all"), await matched("later")) == ({"other"}, {"early"})
        assert await warned(host) == []
        host.files.delete("later")
        await at_work.let(2 * PROBLEMS_INTERVAL)
        assert await matched("all") == {"early", "other"}


async def test_a_label_without_effect_is_one_event_and_a_warning_until_it_is_gone() -> None:
    host = Host()
    host.files.write(network(), policy("p"))
    web = host.engine.run_container("web", "bridge", labels={NETWORK_LABEL: "blgo"})
    async with host.running() as at_work:
        await at_work.let(3 * PROBLEMS_INTERVAL)
        assert await warned(host) == ["container web: label 'dockerv6.io/network=blgo'"]
        (event,) = await host.store.events("Host", "labels")
        assert (event.reason, event.count) == ("LabelIgnored", 1)
        assert at_work.context.problems.check() == ""
        assert (await host.ready("blog"))[0] == (await host.ready("p", POLICY))[0] == "True"
        assert (await host.stored("blog")).status.get("warnings") is None
        host.engine.remove_container(web)
        await at_work.let(2 * PROBLEMS_INTERVAL)
        assert await warned(host) == []
    async with host.running() as again:
        await again.let(1)
        assert [e.count for e in await host.store.events("Host", "labels")] == [1]


async def test_nothing_is_reported_before_the_sources_and_the_engine_were_read() -> None:
    host = Host()
    host.files.write(network())
    host.engine.run_container("web", "bridge", labels=MEMBER)
    host.engine.down()
    async with host.running() as at_work:
        await at_work.let(3 * PROBLEMS_INTERVAL)
        host.engine.up()
        await at_work.let(3 * PROBLEMS_INTERVAL)
        assert await host.store.events("Host", "labels") == ()
        assert await host.attached("blog") == {"web"}
