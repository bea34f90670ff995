#!/bin/bash
# A real CephFS on loopback, with its store in memory, for tests and benchmarks.
#
#   ceph.sh start    starts it unless it runs, installing its Debian packages; then prints `env`
#   ceph.sh env      prints shell assignments: eval "$(ceph.sh env)"
#   ceph.sh hold FIFO    start, and stop as soon as nobody has the FIFO open for writing any more
#   ceph.sh stop     ends it; its files are gone with it
#   ceph.sh crash KEY | pause KEY | resume KEY    kills, stops and continues one of its daemons: mon,
#                    mgr, osd or mds.  `start` starts a killed mds again, with the files there were
#   ceph.sh evict    throws out every client of the file system, as if it had been silent for long
#   ceph.sh snapshots    lets directories have them
#   ceph.sh key NAME CAP...    makes one more key: key ro mds 'allow r' mon 'allow r' osd 'allow r'
#   ceph.sh beside DIR    mounts, by another client, what has the path DIR in the file system at that path
#                    here, and makes both, until `leave`
#   ceph.sh status   "up" or "down" (exit code 1)
#
# State is in $SERVERS_DIR/ceph (default /tmp/netfs-servers-UID/ceph).  One monitor, one manager (which
# counts what is stored), one store (memstore, $CEPH_STORE_BYTES or 2 gigabytes) and one metadata server, of
# the file system `cephfs`; they want keys.  Only the recorded processes (pid and kernel start time) are
# ever signalled.
# $CEPH_PURGES files, or one, are cleared away at a time.  No systemd.
set -u
export PATH=$PATH:/usr/sbin:/sbin

state=${SERVERS_DIR:-/tmp/netfs-servers-$(id -u)}/ceph
conf=$state/ceph.conf
daemons=(mds osd mgr mon)

die() { echo "ceph.sh: $*" >&2; exit 1; }

start_time() { awk '{ sub(/^.*\) /, ""); print $20 }' "/proc/$1/stat" 2>/dev/null; }
process_state() { awk '{ sub(/^.*\) /, ""); print $1 }' "/proc/$1/stat" 2>/dev/null; }

# The pid of that daemon, if it is still that very process.
pid_of() {
  local pid began
  read -r pid began 2>/dev/null <"$state/$1.pid" || return 1
  [[ -n $began && $(start_time "$pid") == "$began" && $(process_state "$pid") != Z ]] || return 1
  echo "$pid"
}

is_up() {
  local name
  for name in "${daemons[@]}"; do pid_of "$name" >/dev/null || return 1; done
}

# spawn NAME COMMAND...: in the background, its standard output not ours, for a reader would wait.
spawn() {
  local name=$1 pid
  shift
  (cd / && exec setsid "$@") </dev/null >>"$state/$name.log" 2>&1 8>&- 9>&- &
  pid=$!
  sleep 0.02
  echo "$pid $(start_time "$pid")" >"$state/$name.pid"
}

# end NAME SIGNAL: bounded; what is left after five seconds is killed.
end() {
  local pid
  if pid=$(pid_of "$1"); then
    kill -CONT "$pid" 2>/dev/null
    kill "-$2" "$pid" 2>/dev/null
    for _ in $(seq 100); do
      pid_of "$1" >/dev/null || break
      sleep 0.05
    done
    ! pid_of "$1" >/dev/null || kill -KILL "$pid" 2>/dev/null
  fi
  rm -f "$state/$1.pid"
}

# Killed: there is nothing to keep, and asked to end they take their time.
stop_it() {
  local name
  leave
  for name in "${daemons[@]}"; do end "$name" KILL; done
}

ask() { timeout 60 ceph -c "$conf" --connect-timeout 20 "$@"; }

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
free_port() {
  local port=$((20000 + RANDOM % 12000))
  for _ in $(seq 50); do
    port_is_free "$port" && break
    port=$((20000 + RANDOM % 12000))
  done
  echo "$port"
}
wait_for_port() {  # NAME PORT
  for _ in $(seq 600); do
    pid_of "$1" >/dev/null || return 1
    port_is_free "$2" || return 0
    sleep 0.05
  done
  return 1
}
wait_for_mds() {
  for _ in $(seq 300); do
    pid_of mds >/dev/null || return 1
    [[ $(ask mds stat 2>/dev/null) != *=up:active* ]] || return 0
    sleep 0.1
  done
  return 1
}

# Clients read its first two parts; no key is in it.
configure() {
  local mon=$1
  cat >"$conf" <<CONFIG
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = v2:127.0.0.1:$mon
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
keyring = $state/keyring
log file =
log to stderr = true
err to stderr = true
admin socket =
pid file =
[client]
log to stderr = false
err to stderr = false
[mon]
run dir = $state
crash dir = $state
mon data = $state/mon
mon data avail crit = 1
mon data avail warn = 2
mon allow pool size one = true
mon max pg per osd = 1000
mon warn on pool no redundancy = false
mon osd full ratio = .99
mon osd nearfull ratio = .98
paxos propose interval = 0.05
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mds beacon grace = 60
debug rocksdb = 0
[mgr]
run dir = $state
crash dir = $state
mgr data = $state/mgr
mgr initial modules =
mgr stats period = 1
[osd]
run dir = $state
crash dir = $state
osd data = $state/osd
osd objectstore = memstore
memstore device bytes = ${CEPH_STORE_BYTES:-2G}
osd crush chooseleaf type = 0
osd class load list = *
osd class default list = *
[mds]
run dir = $state
crash dir = $state
mds data = $state/mds
admin socket = $state/mds.socket
# What one client waits for that another has to give back is looked at this often.
mds tick interval = 0.5
mds beacon interval = 0.5
mds cap revoke eviction timeout = 0
mds reconnect timeout = 5
# What is deleted leaves slowly: a huge file may have a million objects, and nobody waits for them.
mds max purge files = ${CEPH_PURGES:-1}
filer max purge ops = 1
CONFIG
}

make_key() {  # NAME CAP...
  local name=$1
  shift
  ceph-authtool "$state/keyring" --gen-key -n "$name" "$@"
}

make_keys() {
  ceph-authtool "$state/keyring" --create-keyring --gen-key -n mon. --cap mon 'allow *' &&
    make_key client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mds 'allow *' --cap mgr 'allow *' &&
    make_key mgr.x --cap mon 'allow profile mgr' --cap osd 'allow *' --cap mds 'allow *' &&
    make_key osd.0 --cap mon 'allow profile osd' --cap mgr 'allow profile osd' --cap osd 'allow *' &&
    make_key mds.a --cap mon 'allow profile mds' --cap mgr 'allow profile mds' --cap osd 'allow *' --cap mds 'allow *'
}

make_store() {
  local uuid
  uuid=$(cat /proc/sys/kernel/random/uuid)
  ask osd new "$uuid" 0 && ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$uuid"
}

make_file_system() {
  ask osd pool create cephfs_meta 8 && ask osd pool create cephfs_data 8 &&
    ask fs new cephfs cephfs_meta cephfs_data && ask fs set cephfs max_file_size $((1 << 53))
}

# The store is as old as its processes: a start after it ended begins with none.
launch() {
  local mon
  mon=$(free_port)
  rm -rf "$state"/{mon,mgr,osd,mds,keyring,monmap,*.log}
  mkdir -p "$state"/{mon,mgr,osd,mds}
  configure "$mon"
  {
    make_keys &&
      monmaptool --create --clobber --addv a "[v2:127.0.0.1:$mon]" \
        --fsid "$(sed -n 's/^fsid = //p' "$conf")" "$state/monmap" &&
      ceph-mon -c "$conf" --mkfs -i a --monmap "$state/monmap" --keyring "$state/keyring"
  } >"$state/make.log" 2>&1 || die "the monitor cannot be made; see $state/make.log"
  spawn mon ceph-mon -c "$conf" -i a -f
  wait_for_port mon "$mon" || return 1
  spawn mgr ceph-mgr -c "$conf" -i x -f
  make_store >>"$state/make.log" 2>&1 || return 1
  spawn osd ceph-osd -c "$conf" -i 0 -f
  make_file_system >>"$state/make.log" 2>&1 || return 1
  spawn mds ceph-mds -c "$conf" -i a -f
  wait_for_mds
}

# Without one of the others there are no files any more.
start_it() {
  local name
  for name in osd mgr mon; do
    if ! pid_of "$name" >/dev/null; then
      stop_it
      # Another may take the monitor's port between its choice and its use.
      launch || { stop_it; launch; } || { stop_it; die "it does not start; see $state/*.log"; }
      return
    fi
  done
  pid_of mds >/dev/null || spawn mds ceph-mds -c "$conf" -i a -f
  wait_for_mds || die "the metadata server does not start; see $state/mds.log"
}

print_env() {
  cat <<ENV
CEPH_FS=cephfs
CEPH_CONF=$(printf %q "$conf")
CEPH_KEYRING=$(printf %q "$state/keyring")
ENV
}

start() {
  local here
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  "$here/../../scripts/install-deps" ceph >&2 || die "packages are missing"
  (umask 077; mkdir -p "$state")
  exec 9>"$state/lock"
  flock -w 120 9 || die "another start does not end"
  start_it
  exec 9>&-
}

evict() {
  local session
  ceph --admin-daemon "$state/mds.socket" session ls |
    python3 -c 'import json, sys; [print(session["id"]) for session in json.load(sys.stdin)]' |
    while read -r session; do
      ceph --admin-daemon "$state/mds.socket" session evict "$session" >/dev/null || return 1
    done
}

key() {
  local name=$1
  shift
  ask auth get-or-create "client.$name" "$@" -o "$state/$name.keyring" >/dev/null && echo "$state/$name.keyring"
}

leave() {
  local dir
  dir=$(cat "$state/beside.dir" 2>/dev/null) || return 0
  umount -l "$dir" 2>/dev/null
  end beside KILL
  rm -f "$state/beside.dir"
}

# As its user does: it gives back what it has, so that nobody waits for that.
unmount_beside() {
  umount "$(cat "$state/beside.dir" 2>/dev/null)" 2>/dev/null || return 0
  for _ in $(seq 100); do
    pid_of beside >/dev/null || break
    sleep 0.05
  done
}

mount_beside() {  # DIR ROOT
  echo "$1" >"$state/beside.dir"
  spawn beside ceph-fuse -f -c "$conf" --keyring "$state/keyring" -n client.admin -r "$2" "$1"
  for _ in $(seq 200); do
    mountpoint -q "$1" && return 0
    pid_of beside >/dev/null || return 1
    sleep 0.05
  done
  return 1
}

beside() {
  local dir=$1 made=$state/made
  leave
  mkdir -p "$dir" "$made" || return 1
  mount_beside "$made" / && mkdir -p "$made$dir" && unmount_beside && leave && mount_beside "$dir" "$dir" ||
    die "it cannot be mounted; see $state/beside.log"
}

pause() {
  local pid
  pid=$(pid_of "$1") && kill -STOP "$pid" || die "it does not run"
  for _ in $(seq 100); do
    # Each of its threads: they stop one by one.
    awk '{ sub(/^.*\) /, ""); if ($1 != "T") exit 1 }' /proc/"$pid"/task/*/stat && break
    sleep 0.02
  done
}

case ${1:-} in
  start) start; print_env ;;
  hold)
    [[ -p ${2:-} ]] || die "hold: give a FIFO"
    start
    print_env
    # Who ends the test, and all of its group, must not end what is to end this.
    trap '' HUP INT TERM
    cat "$2" >/dev/null
    stop_it
    ;;
  env) print_env ;;
  stop) stop_it ;;
  crash) end "${2:?of which daemon?}" KILL ;;
  pause) pause "${2:?of which daemon?}" ;;
  resume) kill -CONT "$(pid_of "${2:?of which daemon?}")" ;;
  evict) evict ;;
  snapshots) ask fs set cephfs allow_new_snaps true >/dev/null ;;
  key) shift; key "$@" ;;
  beside) beside "${2:?where?}" ;;
  leave) unmount_beside; leave ;;
  status) if is_up; then echo up; else echo down; exit 1; fi ;;
  -h | --help) sed -n '2,25s/^# \{0,1\}//p' "$0" ;;
  *)
    echo "ceph.sh: start, hold, stop, env, crash, pause, resume, evict, snapshots, key, beside, leave or" \
      "status; --help says more" >&2
    exit 2
    ;;
esac
