#!/bin/sh
# First process of the mount and PID namespaces of a host's firewall programs: sets up their root directory, then becomes
# the D-Bus daemon.
# usage: firewalls.sh TREE DIRECTORY ENGINE_DIRECTORY BUS_SOCKET
set -eu
. "${0%/*}/host_root.sh"
tree=$1 directory=$2 engine=$3 bus=$4

overlay_root "$tree" "$directory" "$engine"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mkdir -p "$root$engine" "$root/run/dbus"
mount --bind "$engine" "$root$engine"
ln -s "$bus" "$root/run/dbus/system_bus_socket"

enter_root
export PATH=/usr/sbin:/usr/bin HOME=/root
exec dbus-daemon --system --nofork --nopidfile --address="unix:path=$bus"
