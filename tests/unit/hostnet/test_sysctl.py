import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.hostnet import sysctl
from dockerv6.hostnet.model import interface_sysctl
from dockerv6.hostnet.port import HostNetError


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv6.conf.all.forwarding", "net/ipv6/conf/all/forwarding"),
        ("net/ipv6/conf/all/forwarding", "net/ipv6/conf/all/forwarding"),
        ("net.ipv6.conf.eth0/100.accept_ra", "net/ipv6/conf/eth0.100/accept_ra"),
        ("net/ipv6/conf/eth0.100/accept_ra", "net/ipv6/conf/eth0.100/accept_ra"),
        ("hostname", "hostname"),
    ],
)
def test_the_separator_met_first_separates(name: str, path: str) -> None:
    assert sysctl.canonical(name) == path


@pytest.mark.parametrize(
    "name", ["", ".", "/", "..", "a..b", "a//b", "a/../b", "a/./b", "/a", "a/", "a.", ".a", "a./.b", "a/b\0c"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a sysctl"):
        sysctl.canonical(name)


@given(st.text(alphabet="./ab\0", max_size=12))
def test_no_name_leads_out_of_the_tree(name: str) -> None:
    try:
        path = sysctl.canonical(name)
    except ValueError:
        return
    assert Path("/proc/sys", path).resolve().is_relative_to("/proc/sys")
    assert sysctl.canonical(path) == path or "/" not in path


@given(st.text(alphabet="eth0.-_@:", min_size=1, max_size=15).filter(lambda name: name not in (".", "..")))
def test_every_interface_name_is_one_part(interface: str) -> None:
    assert sysctl.canonical(interface_sysctl(interface, "accept_ra")).split("/") == [
        "net",
        "ipv6",
        "conf",
        interface,
        "accept_ra",
    ]


def test_a_value_is_read_without_the_end_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "range").write_text("1024\t65535\n")
    assert sysctl.read("range", tmp_path) == "1024\t65535"


def test_a_directory_is_no_sysctl(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    assert sysctl.read("net", tmp_path) is None
    with pytest.raises(HostNetError, match="no such key"):
        sysctl.write("net", "1", tmp_path)


def test_writing_an_absent_key_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(HostNetError, match="no such key"):
        sysctl.write("absent", "1", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_remedy_for_a_read_only_mount_names_the_container_and_the_unit_option() -> None:
    remedy = sysctl.remedy(errno.EROFS, 0)
    assert "systempaths=unconfined" in remedy
    assert "ProtectKernelTunables=no" in remedy


def test_the_remedy_for_a_refusal_depends_on_who_asked() -> None:
    assert sysctl.remedy(errno.EACCES, 1000) == "run as root"
    assert "CAP_NET_ADMIN" in sysctl.remedy(errno.EPERM, 0)
