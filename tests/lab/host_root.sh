# What the first processes of hosts beside an engine have in common. Sourced by firewalls.sh and systemd.sh.

# usage: overlay_root LOWER_DIRECTORIES DIRECTORY ENGINE_DIRECTORY
# Mounts a root directory in DIRECTORY/root, which $root names afterwards; sysfs and devices are left to the caller.
overlay_root() {
  root=$2/root
  mount --make-rprivate /
  mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$root"
  mount -t proc proc "$root/proc"
  # only the sysctls of the network namespace can be written: the others are those of the machine
  mount --bind "$root/proc/sys" "$root/proc/sys"
  mount -o remount,bind,ro "$root/proc/sys"
  mount --bind /proc/sys/net "$root/proc/sys/net"
  mount -t tmpfs -o mode=755 tmpfs "$root/run"
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  : >"$root/run/xtables.lock"
  mount --bind "$3/xtables.lock" "$root/run/xtables.lock"
}

enter_root() {
  cd "$root"
  mkdir -p .old
  pivot_root . .old
  umount -l /.old
}
