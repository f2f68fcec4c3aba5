import pytest

from dockerv6.api.kinds import KINDS
from dockerv6.api.scheme import MODELS
from dockerv6.cli.commands.explain import command
from tests.unit.cli.harness import run


def test_a_field_is_explained_like_kubectl() -> None:
    lines = run(["explain", "v6net.spec.egress"]).stdout.splitlines()
    assert lines[:7] == [
        "GROUP:      dockerv6.io",
        "KIND:       IPv6Network",
        "VERSION:    v1alpha1",
        "",
        "FIELD: egress <Object>",
        "",
        "DESCRIPTION:",
    ]
    assert "  mode\t<string>" in lines
    assert "  enum: Masquerade, SNAT, PrefixTranslation, Routed, None" in lines
    assert not any("`" in line for line in lines)
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("info", KINDS, ids=lambda info: info.kind)
def test_every_field_of_the_models_is_found(info: object) -> None:
    assert isinstance(info, type(KINDS[0]))
    tree = run(["explain", info.singular, "--recursive"]).stdout
    for name, field in MODELS[info.kind].model_fields["spec"].annotation.model_fields.items():  # type: ignore[union-attr]
        assert f"    {field.alias or name}\t<" in tree
        assert run(["explain", f"{info.plural}.spec.{field.alias or name}"]).exit_code == 0
    assert "conditions\t<[]Object>" in tree


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("v6net.spec.publish.ports[].port", "FIELD: port <integer> -required-"),
        ("v6net.spec.publish.ports.port", "FIELD: port <integer> -required-"),
        ("IPv6Network.SPEC.Egress", "FIELD: Egress <Object>"),
        ("v6net.metadata.labels", "<map[string]string>"),
        ("v6net.kind", "Always IPv6Network."),
        ("v6pool.status.prefixes", "FIELD: prefixes <[]string>"),
        ("v6net.", "KIND:       IPv6Network"),
    ],
)
def test_paths(path: str, shown: str) -> None:
    result = run(["explain", path])
    assert result.exit_code == 0
    assert shown in result.stdout


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("v6net.spec.egres", 1, "ipv6network.spec has no field 'egres'; did you mean egress?"),
        ("v6net.spec.suspend.x", 1, "ipv6network.spec.suspend has no field 'x'; it has no fields"),
        ("v6nte.spec", 2, "there is no kind 'v6nte'; did you mean v6net?"),
        ("v6net..spec", 1, "has no field ''"),
        (".", 2, "there is no kind ''"),
    ],
)
def test_what_does_not_exist(path: str, code: int, message: str) -> None:
    result = run(["explain", path])
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr


def test_fields_are_completed() -> None:
    (argument,) = (each for each in command.params if each.name == "path")
    context = command.make_context("explain", ["v6net"])

    def completed(incomplete: str) -> list[str]:
        return [item.value for item in argument.shell_complete(context, incomplete)]

    assert completed("ipv6p") == ["ipv6pools", "ipv6policies"]
    assert completed("v6net.spec.eg") == ["v6net.spec.egress"]
    assert completed("nope.spec.eg") == []
    assert completed("v6net.nope.eg") == []
