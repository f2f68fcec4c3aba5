#!/bin/sh
# First process of a host with systemd: sets up its root directory, then becomes systemd.
# usage: systemd.sh LOWER_DIRECTORIES HOST_DIRECTORY ENGINE_DIRECTORY HIERARCHY...
# HIERARCHY: where control groups are mounted; this process is in the host's group of each
set -eu
. "${0%/*}/host_root.sh"
lower=$1 host=$2 engine=$3
shift 3

overlay_root "$lower" "$host" "$engine"
mount -t sysfs -o ro sysfs "$root/sys"
# in this namespace of control groups, the host's group is the root
if [ "$*" = /sys/fs/cgroup ]; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
  mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
  for hierarchy in "$@"; do
    name=${hierarchy##*/}
    mkdir "$root/sys/fs/cgroup/$name"
    case $name in
      unified) mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/$name" ;;
      systemd) mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/$name" ;;
      *) mount -t cgroup -o "$name" cgroup "$root/sys/fs/cgroup/$name" ;;
    esac
  done
fi
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
for device in null zero full random urandom tty; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir -p "$root/engine" "$root/etc/dockerv6.d" "$root/var/log/lab" "$root/etc/systemd/lab"
mount --bind "$engine" "$root/engine"
ln -s /engine/docker.sock "$root/run/docker.sock"
mount --bind "$host/config" "$root/etc/dockerv6.d"
mount --bind "$host/log" "$root/var/log/lab"
mount --bind "$host/units" "$root/etc/systemd/lab"
enter_root
# systemd needs permission for version 1 of control groups, and this variable stands for the kernel command line
exec env -i container=lab D6_LAB_SESSION="$D6_LAB_SESSION" SYSTEMD_UNIT_PATH=/etc/systemd/lab:/etc/systemd/system PATH=/usr/sbin:/usr/bin \
  SYSTEMD_PROC_CMDLINE="SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 systemd.unified_cgroup_hierarchy=0" \
  SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 \
  /usr/lib/systemd/systemd --system --unit=lab.target
