from dockerv6.firewall.ipv6nat.residue import Residue, Traces
from dockerv6.firewall.ipv6nat.rules import Certainty, Rule, Verdict
from dockerv6.firewall.model import FilterVariant

RULE = Rule("nat", "POSTROUTING", "MASQUERADE", oif="br-a", local="dst")
CERTAIN = Verdict(Certainty.CERTAIN, (RULE,), (("nat", "DOCKER"),), (), ("br-a",), engine=False)
LIKELY = Verdict(Certainty.LIKELY, (), (), (), (), engine=False)


def traces(verdict: Verdict) -> tuple[Traces, ...]:
    return (Traces(FilterVariant.XTABLES_NFT, verdict),)


def test_one_at_work_is_certain_and_named_by_its_process() -> None:
    residue = Residue((), (4711,))
    assert (residue.at_work, residue.certainty) == (True, Certainty.CERTAIN)
    assert residue.message == (
        "docker-ipv6nat is at work beside us (process 4711): both translate the same packets; "
        "`dockerv6 doctor` says how to move over"
    )
    assert "with 1 rule in iptables-nft for br-a" in Residue(traces(CERTAIN), (4711,)).message


def test_what_it_left_is_counted_and_named() -> None:
    residue = Residue(traces(CERTAIN))
    assert (residue.chains, residue.networks, residue.rules) == (("nat DOCKER",), ("br-a",), 1)
    assert residue.message == (
        "docker-ipv6nat is not seen running but left 1 rule in iptables-nft for br-a: stale translations stay in "
        "force; `dockerv6 doctor` says how to move over"
    )


def test_what_is_only_likely_its_is_said_so() -> None:
    residue = Residue(traces(LIKELY))
    assert residue.certainty is Certainty.LIKELY
    assert "probably by docker-ipv6nat" in residue.message
