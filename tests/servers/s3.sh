#!/bin/bash
# A real S3 server on loopback: Ceph's radosgw on a store in memory, for tests and benchmarks.
#
#   s3.sh start    starts it unless it runs, installing its Debian packages; then prints `env`
#   s3.sh env      prints shell assignments: eval "$(s3.sh env)"
#   s3.sh stop     ends it; its objects are gone with it
#   s3.sh status   "up" or "down" (exit code 1)
#
# State is in $SERVERS_DIR/s3 (default /tmp/netfs-servers-UID/s3).  One monitor, one store (memstore,
# a gigabyte) and radosgw, which share a secret of their own.  Only the recorded processes (pid and
# kernel start time) are ever signalled.  The bucket `bucket` is there after the start.  No systemd.
set -u
export PATH=$PATH:/usr/sbin:/sbin

state=${SERVERS_DIR:-/tmp/netfs-servers-$(id -u)}/s3
conf=$state/ceph.conf

die() { echo "s3.sh: $*" >&2; exit 1; }

start_time() { awk '{ sub(/^.*\) /, ""); print $20 }' "/proc/$1/stat" 2>/dev/null; }
process_state() { awk '{ sub(/^.*\) /, ""); print $1 }' "/proc/$1/stat" 2>/dev/null; }

# The pid of that daemon, if it is still that very process.
pid_of() {
  local pid began
  read -r pid began 2>/dev/null <"$state/$1.pid" || return 1
  [[ -n $began && $(start_time "$pid") == "$began" && $(process_state "$pid") != Z ]] || return 1
  echo "$pid"
}

is_up() { pid_of mon && pid_of osd && pid_of rgw; } >/dev/null

# spawn NAME COMMAND...: in the background, its standard output not ours, for a reader would wait.
spawn() {
  local name=$1 pid
  shift
  setsid "$@" </dev/null >>"$state/$name.log" 2>&1 9>&- &
  pid=$!
  echo "$pid $(start_time "$pid")" >"$state/$name.pid"
}

# Bounded; what is left after five seconds is killed.
stop_it() {
  local name pid
  for name in rgw osd mon; do
    pid=$(pid_of "$name") || continue
    kill -TERM "$pid"
    for _ in $(seq 100); do
      pid_of "$name" >/dev/null || break
      sleep 0.05
    done
    ! pid_of "$name" >/dev/null || kill -KILL "$pid"
    rm -f "$state/$name.pid"
  done
}

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
    pid_of "$1" >/dev/null || die "$1 ended; see $state/$1.log"
    port_is_free "$2" || return 0
    sleep 0.1
  done
  die "$1 does not answer; see $state/$1.log"
}

configure() {
  local mon=$1 rgw=$2
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
run dir = $state
admin socket =
pid file =
log file =
log to stderr = true
err to stderr = true
crash dir = $state
mon data = $state/mon
osd data = $state/osd
rgw data = $state/rgw
mon data avail crit = 1
mon allow pool size one = true
mon max pg per osd = 1000
mon warn on pool no redundancy = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 1G
osd class load list = *
osd class default list = *
rgw frontends = beast endpoint=127.0.0.1:$rgw
rgw run sync thread = false
rgw dynamic resharding = false
CONFIG
}

make_keys() {
  local name
  ceph-authtool "$state/keyring" --create-keyring --gen-key -n mon. --cap mon 'allow *' &&
    for name in client.admin osd.0 client.rgw; do
      ceph-authtool "$state/keyring" --gen-key -n "$name" --cap mon 'allow *' --cap osd 'allow *' \
        --cap mgr 'allow *' || return 1
    done
}

# The store is as old as its processes: each start begins with none.
launch() {
  local mon rgw uuid
  mon=$(free_port)
  rgw=$(free_port)
  rm -rf "$state"/{mon,osd,rgw,keyring,monmap,*.log}
  mkdir -p "$state"/{mon,osd,rgw}
  configure "$mon" "$rgw"
  {
    make_keys &&
      monmaptool --create --clobber --addv a "[v2:127.0.0.1:$mon]" \
        --fsid "$(sed -n 's/^fsid = //p' "$conf")" "$state/monmap" &&
      ceph-mon -c "$conf" --mkfs -i a --monmap "$state/monmap" --keyring "$state/keyring"
  } >"$state/make.log" 2>&1 || die "the monitor cannot be made; see $state/make.log"
  spawn mon ceph-mon -c "$conf" -i a -f
  wait_for_port mon "$mon"
  uuid=$(cat /proc/sys/kernel/random/uuid)
  {
    timeout 60 ceph -c "$conf" osd new "$uuid" 0 &&
      ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$uuid"
  } >>"$state/make.log" 2>&1 || die "the store cannot be made; see $state/make.log"
  spawn osd ceph-osd -c "$conf" -i 0 -f
  spawn rgw radosgw -c "$conf" -n client.rgw -f
  wait_for_port rgw "$rgw"
  echo "$rgw" >"$state/port"
  head -c 15 /dev/urandom | base32 >"$state/access_key"
  head -c 30 /dev/urandom | base32 -w0 >"$state/secret_key"
  timeout 60 radosgw-admin -c "$conf" -n client.rgw user create --uid=netfs --display-name=netfs \
    "--access-key=$(cat "$state/access_key")" "--secret-key=$(cat "$state/secret_key")" \
    >>"$state/make.log" 2>&1 || die "no user can be made; see $state/make.log"
  make_bucket || die "no bucket can be made"
}

# Signed as S3's first version has it: nothing else is at hand that signs.
make_bucket() {
  python3 - "$(cat "$state/port")" "$(cat "$state/access_key")" "$(cat "$state/secret_key")" <<'PYTHON'
import base64, email.utils, hashlib, hmac, http.client, sys

port, access, secret = sys.argv[1:]
date = email.utils.formatdate(usegmt=True)
signed = hmac.new(secret.encode(), ("PUT\n\n\n%s\n/bucket" % date).encode(), hashlib.sha1).digest()
server = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
server.request("PUT", "/bucket", headers={
    "Date": date, "Authorization": "AWS %s:%s" % (access, base64.b64encode(signed).decode())})
answer = server.getresponse()
sys.exit(answer.status != 200 and "s3.sh: %d %s" % (answer.status, answer.read().decode()))
PYTHON
}

print_env() {
  cat <<ENV
S3_ENDPOINT=http://127.0.0.1:$(cat "$state/port" 2>/dev/null)
S3_BUCKET=bucket
S3_ACCESS_KEY=$(cat "$state/access_key" 2>/dev/null)
S3_SECRET_KEY=$(cat "$state/secret_key" 2>/dev/null)
ENV
}

start() {
  local here
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  "$here/../../scripts/install-deps" s3 >&2 || die "packages are missing"
  (umask 077; mkdir -p "$state")
  chmod 700 "$state"  # it holds keys
  exec 9>"$state/lock"
  flock -w 120 9 || die "another start does not end"
  is_up || { stop_it; launch; }
  exec 9>&-
}

case ${1:-} in
  start) start; print_env ;;
  env) print_env ;;
  stop) stop_it ;;
  status) if is_up; then echo up; else echo down; exit 1; fi ;;
  *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
