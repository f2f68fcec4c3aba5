#!/bin/sh
# First process of an engine's mount and PID namespaces: sets up the engine's root directory, then becomes its init.
# usage: root.sh TREE ENGINE_DIRECTORY XTABLES_VARIANT DOCKERD_ARGUMENT...
set -eu
tree=$1 engine=$2 variant=$3
shift 3
root=$engine/root

# mounts below are not visible outside and end with the namespace
mount --make-rprivate /
# all engines share the tree, which is not changed: dockerd's files in /etc go to the upper layer
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$engine/upper,workdir=$engine/work" "$root"
mount -t proc proc "$root/proc"
# a new sysfs has this network namespace's interfaces, but no control groups
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
# a separate /run, because engines would wait for each other's xtables.lock; operators on the engine's host use the lock in
# the engine's directory
mount -t tmpfs -o mode=755 tmpfs "$root/run"
for lock in "$engine/xtables.lock" "$root/run/xtables.lock"; do : >>"$lock"; done
mount --bind "$engine/xtables.lock" "$root/run/xtables.lock"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
# where containers expect it; dockerd opens it before it starts them
ln -s "$engine/docker.sock" "$root/run/docker.sock"
# without a firewall's D-Bus (firewalls.sh) this leads nowhere
mkdir -p "$root/run/dbus"
ln -s "$engine/dbus.sock" "$root/run/dbus/system_bus_socket"
# data and socket have the same path inside and outside
mkdir -p "$root$engine"
mount --bind "$engine" "$root$engine"

cd "$root"
# dockerd's image code fails with chroot, whose root is no mount point; pivot_root also hides this machine's files
pivot_root . .old
export PATH="/xtables/$variant:/usr/sbin:/usr/bin:/sbin:/bin" HOME=/root TMPDIR=/tmp
/bin/busybox umount -l /.old
exec /usr/bin/docker-init -s -- dockerd "$@"
