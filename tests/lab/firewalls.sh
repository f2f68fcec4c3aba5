#!/bin/sh
# First process of the mount and PID namespaces of a host's firewall programs: sets up their root directory, then becomes
# the D-Bus daemon.
# usage: firewalls.sh TREE DIRECTORY ENGINE_DIRECTORY BUS_SOCKET
set -eu
tree=$1 directory=$2 engine=$3 bus=$4
root=$directory/root

mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$directory/upper,workdir=$directory/work" "$root"
mount -t proc proc "$root/proc"
# only the sysctls of the network namespace can be written: the others are those of the machine
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount --bind /proc/sys/net "$root/proc/sys/net"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
: >"$root/run/xtables.lock"
mount --bind "$engine/xtables.lock" "$root/run/xtables.lock"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir -p "$root$engine" "$root/run/dbus"
mount --bind "$engine" "$root$engine"
ln -s "$bus" "$root/run/dbus/system_bus_socket"

cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
export PATH=/usr/sbin:/usr/bin HOME=/root
exec dbus-daemon --system --nofork --nopidfile --address="unix:path=$bus"
