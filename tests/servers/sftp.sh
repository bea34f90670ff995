#!/bin/bash
# A real sshd on loopback with keys of its own, for tests and benchmarks.
#
#   sftp.sh start    starts it unless it runs, installing its Debian packages; then prints `env`
#   sftp.sh env      prints shell assignments: eval "$(sftp.sh env)"
#   sftp.sh stop     ends it with all its sessions
#   sftp.sh crash    kills it with all its sessions, as a host that goes down does; keys and port stay
#   sftp.sh pause | resume    stops and continues it: a host that is there and does not answer
#   sftp.sh drop     kills the sessions only: every client loses its connection
#   sftp.sh status   "up" or "down" (exit code 1)
#
# State is in $SERVERS_DIR/sftp (default /tmp/netfs-servers-UID/sftp).  Only the recorded process (pid
# and kernel start time) and its descendants are ever signalled.  The port is kept from start to start.
# $SFTP_SUBSYSTEM replaces internal-sftp; an empty one leaves the subsystem out.  No systemd.
set -u
export PATH=$PATH:/usr/sbin:/sbin

servers=${SERVERS_DIR:-/tmp/netfs-servers-$(id -u)}
state=$servers/sftp
user=$(id -un)

die() { echo "sftp.sh: $*" >&2; exit 1; }

need_packages() {
  local name missing=() policy=/usr/sbin/policy-rc.d made=
  for name in openssh-server openssh-client openssh-sftp-server; do
    [[ $(dpkg-query -W -f='${Status}' "$name" 2>/dev/null) == "install ok installed" ]] ||
      missing+=("$name")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  [[ $EUID -eq 0 ]] || die "packages are missing; as root run: apt-get install ${missing[*]}"
  echo "sftp.sh: installing ${missing[*]}" >&2
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

# The pid of our sshd, if it is still that very process.
running_pid() {
  local pid began
  read -r pid began 2>/dev/null <"$state/pid" || return 1
  [[ -n $began && $(start_time "$pid") == "$began" && $(process_state "$pid") != Z ]] || return 1
  echo "$pid"
}

# A process and all below it.
family() {
  local child
  echo "$1"
  for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do family "$child"; done
}

# end_all SIGNAL PID...: bounded; what is left after five seconds is killed.
end_all() {
  local signal=$1 pid left
  shift
  kill -CONT "$@" 2>/dev/null
  kill "-$signal" "$@" 2>/dev/null
  for _ in $(seq 100); do
    left=()
    for pid in "$@"; do
      [[ -d /proc/$pid && $(process_state "$pid") != Z ]] && left+=("$pid")
    done
    [[ ${#left[@]} -gt 0 ]] || return 0
    sleep 0.05
  done
  kill -KILL "${left[@]}" 2>/dev/null
}

stop_it() {
  local pid
  if pid=$(running_pid); then
    # shellcheck disable=SC2046
    end_all "$1" $(family "$pid")
  fi
  rm -f "$state/pid"
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

choose_port() {
  local port
  port=$(cat "$state/port" 2>/dev/null)
  for _ in $(seq 50); do
    [[ -n $port ]] && port_is_free "$port" && break
    port=$((20000 + RANDOM % 12000))
  done
  echo "$port" >"$state/port"
  echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$state/host_key.pub")" >"$state/known_hosts"
}

# launch USE_PAM; true when a login works.
launch() {
  local port pid subsystem=${SFTP_SUBSYSTEM-internal-sftp}
  port=$(cat "$state/port")
  cat >"$state/config" <<CONFIG
Port $port
ListenAddress 127.0.0.1
HostKey $state/host_key
PidFile none
AuthorizedKeysFile $state/authorized_keys
StrictModes no
UsePAM $1
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
MaxStartups 200
MaxSessions 64
LogLevel ERROR
${subsystem:+Subsystem sftp $subsystem}
CONFIG
  # Standard output must not stay open in it: whoever reads ours would wait for ever.
  setsid /usr/sbin/sshd -D -e -f "$state/config" </dev/null >>"$state/log" 2>&1 &
  pid=$!
  echo "$pid $(start_time "$pid")" >"$state/pid"
  for _ in $(seq 100); do
    running_pid >/dev/null || return 1
    port_is_free "$port" || break
    sleep 0.05
  done
  ssh -F /dev/null -p "$port" -i "$state/client_key" -o BatchMode=yes -o IdentitiesOnly=yes \
    -o UserKnownHostsFile="$state/known_hosts" -o ConnectTimeout=10 "$user@127.0.0.1" true \
    </dev/null >/dev/null 2>>"$state/log"
}

print_env() {
  cat <<ENV
SFTP_HOST=127.0.0.1
SFTP_PORT=$(cat "$state/port" 2>/dev/null)
SFTP_USER=$user
SFTP_KEY=$state/client_key
SFTP_KNOWN_HOSTS=$state/known_hosts
SFTP_ROOT=$state/data
ENV
}

start() {
  mkdir -p "$state/data"
  chmod 700 "$state"  # it holds keys
  # One at a time: tests run beside each other.
  exec 9>"$state/lock"
  flock -w 60 9 || die "another start does not end"
  if ! running_pid >/dev/null; then
    need_packages
    [[ $EUID -ne 0 ]] || mkdir -p -m 755 /run/sshd
    local key
    for key in host_key client_key; do
      [[ -f $state/$key ]] || ssh-keygen -q -t ed25519 -N '' -C "netfs-$key" -f "$state/$key" ||
        die "ssh-keygen failed"
    done
    cp "$state/client_key.pub" "$state/authorized_keys"
    local pam up=
    for _ in 1 2 3; do
      choose_port
      # A locked account gets in through PAM only, and an ordinary user's sshd cannot use PAM.
      for pam in no yes; do
        if launch "$pam" 9>&-; then up=1; break 2; fi
        stop_it TERM
      done
    done
    [[ -n $up ]] || { tail -5 "$state/log" >&2; die "sshd does not let us in; see $state/log"; }
  fi
  exec 9>&-
}

signal_family() {
  local pid
  pid=$(running_pid) || die "it does not run"
  # shellcheck disable=SC2046
  kill "-$1" $(family "$pid")
}

case ${1:-} in
  start) start; print_env ;;
  env) print_env ;;
  stop) stop_it TERM ;;
  crash) stop_it KILL ;;
  pause) signal_family STOP ;;
  resume) signal_family CONT ;;
  drop)
    pid=$(running_pid) || die "it does not run"
    # shellcheck disable=SC2046
    sessions=$(family "$pid" | tail -n +2)
    # shellcheck disable=SC2086
    [[ -z $sessions ]] || end_all KILL $sessions
    ;;
  status) if running_pid >/dev/null; then echo up; else echo down; exit 1; fi ;;
  *) sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
