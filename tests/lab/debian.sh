#!/bin/sh
# First process of a mount and PID namespace: runs a program in a Debian root directory.
# usage: debian.sh LOWER_DIRECTORY HOST_DIRECTORY ENGINE_DIRECTORY PROGRAM ARGUMENT...
# LOWER_DIRECTORY: of the overlay that becomes HOST_DIRECTORY/root; empty: that directory is changed itself
# ENGINE_DIRECTORY: of an engine whose socket and lock of xtables the root gets; empty: none
set -eu
lower=$1 host=$2 engine=$3
shift 3
root=$host/root

mount --make-rprivate /
if [ -n "$lower" ]; then
  mount -t overlay overlay -o "lowerdir=$lower,upperdir=$host/upper,workdir=$host/work" "$root"
fi
mount -t proc proc "$root/proc"
# only the sysctls of the network namespace can be written: the others are those of the machine
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount --bind /proc/sys/net "$root/proc/sys/net"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir "$root/run/lock"
if [ -n "$engine" ]; then
  mkdir "$root/run/engine"
  mount --bind "$engine" "$root/run/engine"
  ln -s engine/docker.sock "$root/run/docker.sock"
  : >"$root/run/xtables.lock"
  mount --bind "$engine/xtables.lock" "$root/run/xtables.lock"
fi
exec chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
  DEBIAN_FRONTEND=noninteractive NO_COLOR=1 D6_LAB_SESSION="${D6_LAB_SESSION-}" "$@"
