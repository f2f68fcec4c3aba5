"""``delete``: what happens to the files of people, and how long it waits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dockerv6.cli.state import POLL_INTERVAL
from tests.unit.cli.harness import (
    BLOG,
    BLOG_NAME,
    NOW,
    OTHER,
    Daemon,
    FakeTime,
    condition,
    defined,
    given,
    ready,
    run,
    stored,
)


class TestDelete:
    def test_the_file_is_removed(self, config: Path) -> None:
        file = defined(config, BLOG)
        result = run(["delete", "v6net", "blog"])
        assert (result.exit_code, result.stdout) == (0, f"{BLOG_NAME} deleted\n")
        assert str(file) in result.stderr
        assert "no dockerv6 is running" in result.stderr
        assert not file.exists()

    def test_it_waits_for_the_daemon(self, config: Path, running: Daemon) -> None:
        defined(config, BLOG)
        running.accept(stored())
        time = FakeTime(lambda: None, lambda: running.remove("IPv6Network", "blog"))
        assert run(["delete", "v6net/blog"], time).exit_code == 0
        assert time.elapsed > 0.3

    def test_a_deletion_that_takes_too_long_says_why(self, config: Path, running: Daemon) -> None:
        defined(config, BLOG)
        running.accept(stored(deleting_since=1.0, status=ready("False", reason="EndpointsAttached")))
        result = run(["delete", "v6net/blog", "--timeout=1s"])
        assert result.exit_code == 1
        assert "it is being deleted; Ready=False (EndpointsAttached)" in result.stderr
        defined(config, BLOG)
        assert run(["delete", "v6net/blog", "--wait=false"]).exit_code == 0

    def test_it_waits_as_long_as_it_takes_and_says_why_once_the_grace_period_is_over(
        self, config: Path, running: Daemon
    ) -> None:
        defined(config, BLOG)
        running.accept(stored(missing_since=NOW))
        attached = stored(deleting_since=NOW, status=ready("False", reason="EndpointsAttached"))

        def after(seconds: float, action: Callable[[], None]) -> list[Callable[[], None]]:
            return [lambda: None] * int(seconds / POLL_INTERVAL) + [action]

        time = FakeTime(
            *after(4, lambda: running.accept(attached)),
            *after(400, lambda: running.remove("IPv6Network", "blog")),
        )
        result = run(["delete", "v6net/blog"], time)
        assert (result.exit_code, time.elapsed > 400) == (0, True)
        printed = [line for line in result.stderr.splitlines() if line.startswith("waiting for")]
        assert printed == [
            "waiting for ipv6network/blog: it is being deleted; Ready=False (EndpointsAttached): so it is"
        ]

    def test_a_source_that_is_doubted_is_the_reason(self, config: Path, running: Daemon) -> None:
        defined(config, BLOG)
        running.accept(stored(problem="the directory is empty", problem_reason="SourceUnavailable"))
        result = run(["delete", "v6net/blog", "--timeout=20s"])
        assert result.exit_code == 1
        assert result.stderr.count("waiting for ipv6network/blog: the directory is empty; the resource is kept\n") == 1

    @pytest.mark.parametrize(
        ("meanwhile", "message"),
        [
            (
                {
                    "missing_since": NOW,
                    "status": {"conditions": [condition("PruneHeld", "True", "PruneHeld", "run `dockerv6 prune`")]},
                },
                "ipv6network/blog is not deleted: run `dockerv6 prune`",
            ),
            ({"file": "/srv/x.yaml", "line": 7}, "is not deleted: it is also defined at /srv/x.yaml:7"),
        ],
        ids=["prune-guard", "another-file"],
    )
    def test_a_wait_that_would_never_end_ends(
        self, config: Path, running: Daemon, meanwhile: dict[str, object], message: str
    ) -> None:
        file = defined(config, BLOG)
        running.accept(stored())
        time = FakeTime(lambda: None, lambda: running.accept(replace(stored(), **meanwhile)))  # type: ignore[arg-type]
        result = run(["delete", "v6net/blog"], time)
        assert (result.exit_code, file.exists()) == (1, False)
        assert message in result.stderr

    @pytest.mark.parametrize("option", ["--wait", "--wait=false"])
    def test_a_daemon_that_does_not_prune(self, config: Path, running: Daemon, option: str) -> None:
        defined(config, BLOG)
        running.accept(stored())
        running.reads(config, prune=False)
        result = run(["delete", "v6net/blog", option])
        assert result.exit_code == 1
        assert "runs with --no-prune: the files are removed, and networks and rules stay" in result.stderr

    @pytest.mark.parametrize("more", ["", "spec: {nope: 1}\n"], ids=["valid", "invalid"])
    def test_what_two_files_define_is_refused(self, config: Path, more: str) -> None:
        files = [
            defined(config, BLOG.replace("spec: {}\n", more if name == "two.yaml" else "spec: {}\n"), name)
            for name in ("one.yaml", "two.yaml")
        ]
        result = run(["delete", "v6net/blog"])
        assert (result.exit_code, [file.exists() for file in files]) == (1, [True, True])
        assert f"is defined at {files[0]}:1:1 and at {files[1]}:1:1, so it would not be deleted" in result.stderr

    @pytest.mark.parametrize("option", ["--wait=false", "--dry-run"])
    def test_what_is_suspended_is_refused(self, config: Path, daemon: Daemon, option: str) -> None:
        files = [defined(config, text, name) for name, text in (("a.yaml", BLOG), ("b.yaml", OTHER))]
        daemon.accept(stored(), stored("shop"))
        daemon.suspend("shop")
        daemon.suspend("gone")
        result = run(["delete", "v6net", "blog", "shop", option])
        assert (result.exit_code, [file.exists() for file in files]) == (1, [True, True])
        assert "ipv6network/shop is suspended: run `dockerv6 resume ipv6network/shop` first" in result.stderr
        assert run(["delete", "v6net", "blog", option]).exit_code == 0

    def test_comments_need_force(self, config: Path) -> None:
        file = defined(config, f"{BLOG}# why\n")
        result = run(["delete", "v6net", "blog"])
        assert (result.exit_code, file.exists()) == (1, True)
        assert "has comments, which would be lost: copy the file, then repeat with --force" in result.stderr
        assert run(["delete", "v6net", "blog", "--force"]).exit_code == 0
        assert not file.exists()

    def test_what_a_file_names_and_what_labels_select(self, config: Path, tmp_path: Path) -> None:
        for number in range(3):
            text = BLOG.replace("{name: blog}", f"{{name: n{number}, labels: {{app: {'x' if number else 'y'}}}}}")
            defined(config, text, f"n{number}.yaml")
        assert run(["delete", "v6net", "-l", "app=x", "--dry-run"]).stdout.count("deleted (dry run)") == 2
        assert len(list(config.iterdir())) == 3
        assert run(["delete", "v6net", "-l", "app=x"]).stdout.count("deleted") == 2
        assert run(["delete", "-f", given(tmp_path, BLOG.replace("blog", "n0"))]).exit_code == 0
        assert list(config.iterdir()) == []
        assert run(["delete", "v6net", "--all"]).stderr == "No resources found\n"

    def test_an_invalid_resource_can_be_deleted(self, config: Path) -> None:
        file = defined(config, BLOG.replace("spec: {}", "spec: {nope: 1}"))
        assert run(["delete", "v6net", "blog"]).exit_code == 0
        assert not file.exists()

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({}, "is in no file of"),
            ({"deleting_since": 1.0}, "is being deleted"),
            ({"file": ""}, "was made by dockerv6"),
            (None, 'ipv6networks "blog" not found'),
        ],
    )
    def test_a_resource_without_a_file(
        self, config: Path, daemon: Daemon, fields: dict[str, object] | None, message: str
    ) -> None:
        assert not config.exists()
        if fields is not None:
            daemon.accept(replace(stored(), **fields))  # type: ignore[arg-type]
        result = run(["delete", "v6net", "blog"])
        assert result.exit_code == 1
        assert message in result.stderr
        assert run(["delete", "v6net", "blog", "--ignore-not-found"]).exit_code == 0

    @pytest.mark.parametrize(
        "arguments", ["", "v6net", "v6net blog -f x", "v6net blog --all", "v6net --all -l a=b", "nope blog"]
    )
    def test_wrong_usage(self, config: Path, arguments: str) -> None:
        file = defined(config, BLOG)
        assert run(["delete", *arguments.split()]).exit_code == 2
        assert file.exists()
