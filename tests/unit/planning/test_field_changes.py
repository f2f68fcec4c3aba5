import json
from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path

import jsonschema
import pytest

from dockerv6.cli.printers.plan import plan_mapping
from dockerv6.planning.plan import Plan, field_changes
from dockerv6.planning.steps import BindSubnet, CreateNetwork, RememberNetwork, RemoveNetwork, SetSysctl
from dockerv6.source.model import Diagnostic, Position, Severity
from tests.golden.test_plans import PLANS
from tests.unit.planning.test_plan import SPEC

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "plan.schema.json").read_text())


def test_a_sysctl_has_its_value_before_and_after() -> None:
    (change,) = field_changes([SetSysctl("net.ipv6.conf.all.forwarding", "1", "0", "x")])
    assert change == {"field": "sysctl.net.ipv6.conf.all.forwarding", "before": "0", "after": "1"}


def test_a_recreation_names_the_fields_that_differ_only() -> None:
    old, new = IPv6Network("fd00:1::/64"), IPv6Network("fd00:2::/64")
    wanted = replace(SPEC, options={**SPEC.options, "com.docker.network.driver.mtu": "1400"})
    changes = field_changes(
        [
            RememberNetwork("blog", SPEC, old, "default"),
            BindSubnet("blog", "default", new, None, "x"),
            RemoveNetwork("1", "blog", "x"),
            CreateNetwork(wanted, "x"),
        ]
    )
    assert changes == [
        {"field": "subnet", "before": str(old), "after": str(new)},
        {"field": "network.options.com.docker.network.driver.mtu", "before": None, "after": "1400"},
    ]


@pytest.mark.parametrize("name", PLANS)
def test_real_plans_are_valid_by_the_schema(name: str) -> None:
    odd = Diagnostic(Position("a.yaml", 3, 1), Severity.WARNING, ("spec",), "odd", "correct it")
    jsonschema.validate(json.loads(json.dumps(plan_mapping([PLANS[name]], [odd]))), SCHEMA)


def test_the_schema_refuses_what_is_no_plan() -> None:
    wrong = plan_mapping([Plan("IPv6Network", "blog")], ())
    wrong["plans"] = [{"kind": "IPv6Network", "name": "blog"}]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
