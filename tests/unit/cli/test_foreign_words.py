"""Words of other programs: one line each that says what to do here instead."""

import re
from pathlib import Path

import click
import pytest

from dockerv6.api.kinds import KINDS
from dockerv6.cli.foreign_words import OPTIONS, VERBS
from dockerv6.cli.main import VERBS as OWN
from dockerv6.cli.main import main
from tests.unit.cli.harness import run

# fmt: off
KUBECTL = (
    "annotate", "api-resources", "api-versions", "apply", "attach", "auth", "autoscale", "certificate",
    "cluster-info", "completion", "config", "cordon", "cp", "create", "debug", "delete", "describe", "diff",
    "drain", "edit", "events", "exec", "explain", "expose", "get", "help", "kustomize", "label", "logs",
    "options", "patch", "plugin", "port-forward", "proxy", "replace", "rollout", "run", "scale", "set",
    "taint", "top", "uncordon", "version", "wait",
)
# fmt: on
"""The commands that `kubectl --help` of 1.32 lists."""


@pytest.mark.parametrize("word", KUBECTL)
def test_every_command_of_kubectl_exists_or_is_explained(word: str) -> None:
    if word in OWN:
        assert run([word, "--help"]).exit_code == 0
        return
    result = run([word, "x", "--whatever"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: `{word}` ")
    assert len(result.stderr.splitlines()) == 1
    assert "did you mean" not in result.stderr


@pytest.mark.parametrize("word", VERBS)
def test_what_is_recommended_exists(word: str) -> None:
    assert word not in OWN
    for verb in re.findall(r"`dockerv6 ([a-z-]+)", VERBS[word]):
        assert verb in OWN or verb.startswith("-")


def test_an_unknown_option_of_kubectl_is_explained() -> None:
    result = run(["plan", "--dry-run"])
    assert result.exit_code == 2
    assert "No such option '--dry-run'; `dockerv6 plan` shows what would change" in result.stderr
    assert "--prune" not in result.stderr
    assert "there is no cluster to choose" in run(["get", "v6net", "--context", "x"]).stderr
    assert "No such option" not in run(["apply", "-R", "-f", "/nowhere"]).stderr
    assert "directories below" in run(["validate", "-R", "x"]).stderr


def test_a_misspelled_option_has_a_suggestion_only_if_it_is_similar() -> None:
    assert "--selector" in run(["get", "v6net", "--selectr", "a=b"]).stderr
    assert "ean --" not in run(["get", "v6net", "--colour"]).stderr
    assert "No such option" in run(["get", "v6net", "-x"]).stderr


def test_options_that_exist_are_not_explained_away() -> None:
    with click.Context(main) as context:
        for verb in OWN:
            command = main.get_command(context, verb)
            assert command is not None
            for parameter in command.params:
                for name in set(parameter.opts) & set(OPTIONS):
                    assert "No such option" not in run([verb, name, "--help"]).stderr


def test_a_namespace_before_the_verb_is_explained() -> None:
    result = run(["-n", "default", "api-resources", "-o", "name"])
    assert result.stdout.split() == [f"{info.plural}.dockerv6.io" for info in KINDS]
    assert result.stderr == "Warning: resources of dockerv6 have no namespace: -n is ignored\n"


def test_the_page_says_of_each_word_what_is_alike() -> None:
    page = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    _, _, table = page.partition("## Compared with kubectl")
    assert [word for word in KUBECTL if f"`{word}`" not in table.partition("\n## ")[0]] == []
