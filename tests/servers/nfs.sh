#!/bin/bash
# A real NFS server, nfs-ganesha, in user space on loopback ports of its own, for tests and benchmarks.
#
#   nfs.sh start    starts it unless it runs, installing its Debian packages; then prints `env`
#   nfs.sh env      prints shell assignments: eval "$(nfs.sh env)"
#   nfs.sh hold FIFO    start, and stop as soon as nobody has the FIFO open for writing any more
#   nfs.sh stop     ends it
#   nfs.sh crash    kills it, as a host that goes down does; what it exports, and its ports, stay
#   nfs.sh pause | resume    stops and continues it: a host that is there and does not answer
#   nfs.sh status   "up" or "down" (exit code 1)
#
# State is in $SERVERS_DIR/nfs (default /tmp/netfs-servers-UID/nfs).  It exports $NFS_EXPORT (default: a
# folder there) at $NFS_ADDRESS (127.0.0.1), read and write, root as root, by the same path in version 3
# and in version 4.  Only the recorded processes (pid and kernel start time) are ever signalled.  Ports are
# kept from start to start.  Root only; no systemd.
#
# Ganesha does not start version 3 without rpcbind.  Where none runs, one is started with a netconfig of
# its own that has the unix socket and no network: clients name the ports.
#
# Do not change what it exports behind its back: it holds names and attributes for up to two seconds.
set -u
export PATH=$PATH:/usr/sbin:/sbin

servers=${SERVERS_DIR:-/tmp/netfs-servers-$(id -u)}
state=$servers/nfs
address=${NFS_ADDRESS:-127.0.0.1}

die() { echo "nfs.sh: $*" >&2; exit 1; }

need_packages() {
  local name missing=() policy=/usr/sbin/policy-rc.d made=
  for name in nfs-ganesha nfs-ganesha-vfs rpcbind; do
    [[ $(dpkg-query -W -f='${Status}' "$name" 2>/dev/null) == "install ok installed" ]] ||
      missing+=("$name")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  echo "nfs.sh: installing ${missing[*]}" >&2
  # No service may start by itself: 101 is "not allowed" to invoke-rc.d.
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made=1
  fi
  local install=(apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300)
  DEBIAN_FRONTEND=noninteractive "${install[@]}" "${missing[@]}" >"$state/apt.log" 2>&1 ||
    { apt-get update && DEBIAN_FRONTEND=noninteractive "${install[@]}" "${missing[@]}"; } \
      >>"$state/apt.log" 2>&1
  local result=$?
  [[ -z $made ]] || rm -f "$policy"
  [[ $result -eq 0 ]] || die "apt-get failed; see $state/apt.log"
}

start_time() { awk '{ sub(/^.*\) /, ""); print $20 }' "/proc/$1/stat" 2>/dev/null; }
process_state() { awk '{ sub(/^.*\) /, ""); print $1 }' "/proc/$1/stat" 2>/dev/null; }

# The pid that KEY was started as, if it is still that very process.
running_pid() {
  local pid began
  read -r pid began 2>/dev/null <"$state/$1.pid" || return 1
  [[ -n $began && $(start_time "$pid") == "$began" && $(process_state "$pid") != Z ]] || return 1
  echo "$pid"
}

# spawn KEY COMMAND...: not in this folder, which may have to be unmounted before it ends.  Standard
# output must not stay open in it, or whoever reads ours waits for ever.
spawn() {
  local key=$1 pid
  shift
  (cd / && exec setsid "$@") </dev/null >>"$state/$key.out" 2>&1 8>&- 9>&- &
  pid=$!
  sleep 0.02
  echo "$pid $(start_time "$pid")" >"$state/$key.pid"
}

# The same in a mount namespace without the mounts of others, as tests make them: Ganesha looks at
# all that there are, and what is unmounted is to end.
spawn_alone() {
  local key=$1
  shift
  # shellcheck disable=SC2016
  spawn "$key" unshare -m bash -c '
    while read -r _ on type _; do
      on=$(printf %b "$on")
      [[ $type == fuse* || $on == "$1"/* ]] || continue
      [[ $2/ == "$on"/* ]] || umount -l "$on"
    done < <(tac /proc/self/mounts)
    shift 2
    exec "$@"' alone "${TMPDIR:-/tmp}" "${NFS_EXPORT:-$state/export}" "$@"
}

# end KEY SIGNAL: bounded; what is left after five seconds is killed.
end() {
  local pid
  if pid=$(running_pid "$1"); then
    kill -CONT "$pid" 2>/dev/null
    kill "-$2" "$pid" 2>/dev/null
    for _ in $(seq 100); do
      [[ -d /proc/$pid && $(process_state "$pid") != Z ]] || break
      sleep 0.05
    done
    [[ ! -d /proc/$pid || $(process_state "$pid") == Z ]] || kill -KILL "$pid" 2>/dev/null
  fi
  rm -f "$state/$1.pid"
}

port_is_free() { ! (exec 3<>"/dev/tcp/$address/$1") 2>/dev/null; }

# choose_port KEY: the one it had, if that is free.
choose_port() {
  local port
  port=$(cat "$state/$1.port" 2>/dev/null)
  for _ in $(seq 50); do
    [[ -n $port ]] && port_is_free "$port" && break
    port=$((20000 + RANDOM % 12000))
  done
  echo "$port" >"$state/$1.port"
  echo "$port"
}

# Ganesha takes over what another server has registered: a real one's clients would not find it any more.
start_rpcbind() {
  if [[ -S /run/rpcbind.sock ]] && rpcinfo >/dev/null 2>&1; then
    if rpcinfo 2>/dev/null | awk '$1 == 100003 && $4 ~ /\.8\.1$/ { found = 1 } END { exit !found }'; then
      die "an NFS server at port 2049 is registered with this machine's rpcbind already"
    fi
    return 0
  fi
  mkdir -p /run/rpcbind
  printf 'local tpi_cots_ord v loopback - - -\n' >"$state/netconfig"
  spawn_alone rpcbind sh -c \
    "mount --bind '$state/netconfig' /etc/netconfig && exec /sbin/rpcbind -f"
  for _ in $(seq 100); do
    [[ -S /run/rpcbind.sock ]] && rpcinfo >/dev/null 2>&1 && return 0
    sleep 0.05
  done
  die "rpcbind does not start; see $state/rpcbind.out"
}

start_it() {
  local nfs mount nlm rquota export=${NFS_EXPORT:-$state/export}
  [[ $EUID -eq 0 ]] || die "only root can start it"
  start_rpcbind
  nfs=$(choose_port nfs) mount=$(choose_port mount) nlm=$(choose_port nlm)
  rquota=$(choose_port rquota)
  mkdir -p "$export" "$state/recovery"
  echo "$export" >"$state/exported"
  cat >"$state/config" <<CONFIG
NFS_CORE_PARAM {
  Bind_addr = $address;
  NFS_Port = $nfs; MNT_Port = $mount; NLM_Port = $nlm; Rquota_Port = $rquota;
  Protocols = 3, 4;
  Enable_UDP = false;
  NSM_Use_Caller_Name = true;
}
NFSV4 { RecoveryBackend = fs; RecoveryRoot = "$state/recovery"; Graceless = true; IdmapConf = /dev/null; }
MDCACHE { Attr_Expiration_Time = ${NFS_ATTR_SECONDS:-1}; Dir_Chunk = 128; }
EXPORT_DEFAULTS {
  Access_Type = RW; Squash = No_Root_Squash; SecType = sys; Transports = TCP; Protocols = 3, 4;
  Attr_Expiration_Time = ${NFS_ATTR_SECONDS:-1};
}
EXPORT { Export_Id = 1; Path = "$export"; Pseudo = "$export"; FSAL { Name = VFS; } }
LOG { Default_Log_Level = EVENT; Components { ALL = EVENT; } }
CONFIG
  rm -f "$state/log"
  # Its write verifier, which tells clients that it was restarted, is the second of its start.
  while [[ $(date +%s) == "$(cat "$state/second" 2>/dev/null)" ]]; do sleep 0.05; done
  spawn_alone ganesha /usr/bin/ganesha.nfsd -F -L "$state/log" -f "$state/config" \
    -p "$state/ganesha.own.pid" -N NIV_EVENT
  for _ in $(seq 400); do
    running_pid ganesha >/dev/null || return 1
    if grep -q 'NFS SERVER INITIALIZED' "$state/log" 2>/dev/null && ! port_is_free "$nfs"; then
      date +%s >"$state/second"
      return 0
    fi
    sleep 0.05
  done
  return 1
}

print_env() {
  local export
  export=$(cat "$state/exported")
  cat <<ENV
NFS_HOST=$address
NFS_PORT=$(cat "$state/nfs.port")
NFS_MOUNT_PORT=$(cat "$state/mount.port")
NFS_EXPORT=$(printf %q "$export")
NFS_URL=$(printf %q "nfs://$address$export?version=3&nfsport=$(cat "$state/nfs.port")&mountport=$(cat "$state/mount.port")")
NFS_PID=$(running_pid ganesha)
ENV
}

case ${1:-} in
  start)
    mkdir -p "$state"
    # One at a time here, and on this machine while the rpcbind that all share comes or goes.
    exec 8>"$state/lock" 9>/run/netfs-test-nfs.lock
    flock 8
    flock 9
    if ! running_pid ganesha >/dev/null; then
      need_packages
      # Another server may take a port between its choice and its use.
      start_it || { end ganesha KILL; sleep 0.2; start_it; } || { end ganesha KILL; sleep 0.5; start_it; } ||
        { end ganesha KILL; end rpcbind TERM; die "it does not start; see $state/log"; }
    fi
    print_env
    ;;
  hold)
    [[ -p ${2:-} ]] || die "hold: give a FIFO"
    # Before anybody hears that it is up: who is done with it at once would not be met here any more.
    exec 7<"$2"
    "$0" start 7<&- || exit 1
    # Where its test was killed somebody may have removed the folder by then.
    started=$(cat "$state/ganesha.pid" "$state/rpcbind.pid" 2>/dev/null)
    cat <&7 >/dev/null
    "$0" stop
    while read -r pid began; do
      [[ -n $began && $(start_time "$pid") == "$began" ]] && kill -KILL "$pid" 2>/dev/null
    done <<<"$started"
    ;;
  env)
    running_pid ganesha >/dev/null || die "it does not run"
    print_env
    ;;
  stop)
    end ganesha TERM
    exec 9>/run/netfs-test-nfs.lock
    flock 9
    end rpcbind TERM
    ;;
  crash) end ganesha KILL ;;
  pause)
    pid=$(running_pid ganesha) && kill -STOP "$pid" || die "it does not run"
    for _ in $(seq 100); do
      # Each of its threads: they stop one by one.
      awk '{ sub(/^.*\) /, ""); if ($1 != "T") exit 1 }' /proc/"$pid"/task/*/stat && break
      sleep 0.02
    done
    ;;
  resume) kill -CONT "$(running_pid ganesha)" ;;
  status)
    if running_pid ganesha >/dev/null; then echo up; else echo down; exit 1; fi
    ;;
  -h | --help) sed -n '2,23s/^# \{0,1\}//p' "$0" ;;
  *)
    echo "nfs.sh: start, hold, stop, env, crash, pause, resume or status; --help says more" >&2
    exit 2
    ;;
esac
