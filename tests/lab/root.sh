#!/bin/sh
# First process of an engine's own mount and PID namespaces: gives the engine its root directory, then becomes its init.
# usage: root.sh TREE ENGINE_DIRECTORY XTABLES_VARIANT DOCKERD_ARGUMENT...
set -eu
tree=$1 engine=$2 variant=$3
shift 3
root=$engine/root

# nothing that is mounted below shows, or stays, outside
mount --make-rprivate /
# the tree is shared by all engines and stays as built: what dockerd writes into /etc goes to the upper layer
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$engine/upper,workdir=$engine/work" "$root"
mount -t proc proc "$root/proc"
# a new sysfs shows this network namespace's interfaces, and comes without the control groups
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
# an own /run: engines would otherwise wait for each other's xtables.lock; who shares the engine's host (an operator)
# finds that lock in the engine's directory
mount -t tmpfs -o mode=755 tmpfs "$root/run"
for lock in "$engine/xtables.lock" "$root/run/xtables.lock"; do : >>"$lock"; done
mount --bind "$engine/xtables.lock" "$root/run/xtables.lock"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
# data and socket have the same path inside and outside
mkdir -p "$root$engine"
mount --bind "$engine" "$root$engine"

cd "$root"
# a root that is no mount point (chroot) makes dockerd's image code fail; pivoting also hides this machine's files
pivot_root . .old
export PATH="/xtables/$variant:/usr/sbin:/usr/bin:/sbin:/bin" HOME=/root TMPDIR=/tmp
/bin/busybox umount -l /.old
exec /usr/bin/docker-init -s -- dockerd "$@"
