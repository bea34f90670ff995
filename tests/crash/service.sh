#!/bin/bash
# A machine of its own for one service: systemd as the first process of namespaces for processes, mounts
# and control groups.
#
#   service.sh UNIT      the unit's file; it runs until it is killed, and takes all it started with it
set -euo pipefail

unit=$1
groups=()
for root in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
  [[ -w $root/cgroup.procs ]] || continue
  groups+=("$root/netfs-service-$$")
  mkdir "${groups[-1]}"
done
clean_up() {
  local group
  for group in "${groups[@]}"; do
    for _ in {1..50}; do
      find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
      [[ -d $group ]] || break
      sleep 0.1  # a process of it has not ended yet
    done
  done
}
trap clean_up EXIT
trap 'kill -KILL "$inner" 2>/dev/null || true' TERM INT

(
  for group in "${groups[@]}"; do echo "$BASHPID" >"$group/cgroup.procs"; done
  # shellcheck disable=SC2016
  exec unshare --cgroup --pid --fork --kill-child --mount --mount-proc bash -c '
    set -e
    mount --make-rprivate /
    # Of the mounts of others, as tests make them, it keeps none: what is unmounted is to end.
    while read -r _ on type _; do
      [[ $type != fuse* && $on != "${TMPDIR:-/tmp}"/* ]] || umount -l "$(printf %b "$on")"
    done < <(tac /proc/self/mounts)
    mount -t tmpfs tmpfs /run
    mkdir -p /run/systemd/system
    cp "$1" /run/systemd/system/netfs.service
    printf "[Unit]\nDefaultDependencies=no\nWants=netfs.service\n" >/run/systemd/system/test.target
    exec env -i PATH="$PATH" container=other /lib/systemd/systemd --system --unit=test.target \
      --log-target=console --log-level=info --show-status=0' service "$unit"
) &
inner=$!
wait "$inner" || true
wait "$inner" 2>/dev/null || true
