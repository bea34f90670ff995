# shellcheck shell=bash
# Common to scripts/xfstests and scripts/pjdfstest, which source it: a public test suite, checked out
# and built elsewhere, on a netfs mount within namespaces of its own, so that all it starts ends
# with it.
#
# The script sets `name` and `here` (the repository), and `limit`; it has a function parse_common,
# which gets the arguments that are not common.  parse_suite sets source, origin, write, netfs, out.
# Within the namespaces: $run is the run's own folder, gone afterwards.

die() { echo "$name: $*" >&2; exit 2; }

# ---- within the namespaces ----------------------------------------------------------------------

# df asks every mount there is, and waits for one that does not answer; and what others unmount ends
# when we let go of it: only ours stay in sight.
leave_other_mounts() {
  local folder
  for folder in $(awk '/ - fuse[. ]/ { print $5 }' /proc/self/mountinfo); do
    umount --lazy --no-canonicalize "$(printf '%b' "$folder")" 2>/dev/null
  done
}

# An ext4 of its own, so that a test that fills the disk ends soon; prints its folder.
back_folder() {
  local image=$run/$1.img folder=$run/back/$1
  mkdir -p "$folder"
  truncate -s 4G "$image"
  mkfs.ext4 -q -F -m 0 "$image" && mount -o loop "$image" "$folder" || die "no ext4 at $folder"
  rmdir "$folder/lost+found"
  chmod 755 "$folder"
  echo "$folder"
}

# The server of the origin, if it wants one.
open_origin() {
  mkdir -p "$run/cache"
  [[ $origin != sftp ]] || start_sshd
  [[ $origin != nfs ]] || start_nfs
  [[ $origin != ceph ]] || start_ceph
}

# Ganesha, with an rpcbind of its own: the machine's would be taken for it by others, and end with us.
start_nfs() {
  mount -t tmpfs -o mode=755 run /run || die "no /run of our own"
  SERVERS_DIR=$run/servers NFS_EXPORT=$run/back "$here/tests/servers/nfs.sh" start >"$run/nfs" ||
    die "no NFS server"
  # shellcheck source=/dev/null
  . "$run/nfs"
}

# Its store is in memory, and what tests delete is to leave that soon.
start_ceph() {
  export SERVERS_DIR=$run/servers CEPH_STORE_BYTES=8G CEPH_PURGES=64
  "$here/tests/servers/ceph.sh" start >"$run/ceph" || die "no CephFS"
  # shellcheck source=/dev/null
  . "$run/ceph"
}

# The folder of the CephFS at this path, instead of a disk; made by others, for whom nobody is to wait.
ceph_folder() {
  local ceph=$here/tests/servers/ceph.sh
  "$ceph" beside "$1" && chmod 755 "$1" && "$ceph" leave && "$ceph" evict ||
    die "no folder $1 in the CephFS"
}

start_sshd() {
  local d=$run/sshd
  mkdir -p "$d" /run/sshd
  chmod 700 "$d"
  ssh-keygen -q -t ed25519 -N '' -f "$d/host" && ssh-keygen -q -t ed25519 -N '' -f "$d/id" ||
    die "no keys for sshd"
  cp "$d/id.pub" "$d/authorized"
  port=$((20000 + RANDOM % 10000))
  cat >"$d/config" <<END
ListenAddress 127.0.0.1
Port $port
HostKey $d/host
PidFile $d/pid
AuthorizedKeysFile $d/authorized
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
MaxSessions 100
MaxStartups 100
Subsystem sftp internal-sftp -u 0000
ForceCommand internal-sftp -u 0000
END
  "$(command -v sshd)" -D -f "$d/config" -E "$d/log" &
  for _ in $(seq 50); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    sleep 0.1
  done
  echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$d/host.pub")" >"$d/known"
}

origin_url() {
  case $origin in
    sftp) echo "sftp://root@127.0.0.1:$port$1" ;;
    nfs) echo "nfs://127.0.0.1:$NFS_PORT$1" ;;
    ceph) ceph_folder "$1" && echo "ceph://$CEPH_FS$1" ;;
    *) echo "file://$1" ;;
  esac
}

mount_options() {
  local options=allow_other,default_permissions,symlinks=as-is,write=$write,cache-dir=$run/cache
  [[ $origin != sftp ]] || options+=,identity=$run/sshd/id,known_hosts=$run/sshd/known
  [[ $origin != nfs ]] || options+=,mountport=$NFS_MOUNT_PORT
  [[ $origin != ceph ]] || options+=,conf=$CEPH_CONF,keyring=$CEPH_KEYRING
  echo "$options"
}

# ---- without ------------------------------------------------------------------------------------

parse_suite() {
  local argument
  source='' origin=file write=close netfs=$here/build/bin/netfs out=''
  for argument; do
    case $argument in
      --source=*) source=${argument#*=} ;;
      --origin=file | --origin=sftp | --origin=nfs | --origin=ceph) origin=${argument#*=} ;;
      --write=close | --write=through) write=${argument#*=} ;;
      --netfs=*) netfs=${argument#*=} ;;
      --out=*) out=${argument#*=} ;;
      --inside) ;;
      *) parse_common "$argument" ;;
    esac
  done
}

# need_suite WHAT BUILT PROGRAM...: what has to be there; makes `out`.
need_suite() {
  local program
  [[ $(id -u) == 0 ]] || die "run as root"
  [[ -n $source && -x $2 ]] || die "--source names no built $1"
  [[ -x $netfs ]] || die "no program at $netfs: scripts/build, or --netfs="
  for program in "${@:3}"; do
    command -v "$program" >/dev/null || die "needs $program"
  done
  netfs=$(readlink -f "$netfs") source=$(readlink -f "$source")
  out=${out:-/var/tmp/netfs-$name-$(date +%Y%m%d-%H%M%S)}
  mkdir -p "$out" && out=$(readlink -f "$out")
}

# run_inside ARGUMENT...: this script again, in its namespaces, with --inside.
run_inside() {
  run=$(mktemp -d /var/tmp/netfs-suite.XXXX) || die "no folder in /var/tmp"
  chmod 755 "$run"  # tests go there as ordinary users as well
  export run
  trap 'rm -rf --one-file-system "$run"' EXIT
  unshare --mount --pid --fork --kill-child --mount-proc bash "$0" --inside --source="$source" \
    --origin="$origin" --write="$write" --netfs="$netfs" --out="$out" --limit="$limit" "$@" &
  namespaces=$!
  trap 'kill -KILL "$namespaces" 2>/dev/null; exit 143' TERM INT HUP
  wait "$namespaces"
}
