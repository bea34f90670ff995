#!/bin/bash
# Real web servers on loopback, with a CA of their own, for tests and benchmarks.
#
#   http.sh start [KIND...]   starts what does not run, installing its Debian packages; then `env`
#   http.sh env               prints shell assignments: eval "$(http.sh env)"
#   http.sh hold FIFO [KIND...]   as start; then waits until FIFO has no writer any more, and stops
#   http.sh stop              ends them all
#   http.sh pause | resume    stops and continues them: hosts that are there and do not answer
#   http.sh status            "up" with the kinds that run, or "down" (exit code 1)
#
# Kinds: nginx (several ports, see `env`), nobody (nginx whose workers are not root), apache, python
# (python3 -m http.server); default: all.  Apache is a proxy as well.  They serve $HTTP_ROOT (default $SERVERS_DIR/http/data) at
# the URL path that is its path here, on $HTTP_ADDRESS (default 127.0.0.1).  State is in $SERVERS_DIR/http (default
# /tmp/netfs-servers-UID/http).  Only recorded processes (pid and kernel start time) and their
# descendants are ever signalled.  No systemd.
set -u
export PATH=$PATH:/usr/sbin:/sbin

servers=${SERVERS_DIR:-/tmp/netfs-servers-$(id -u)}
state=$servers/http
root=${HTTP_ROOT:-$state/data}
address=${HTTP_ADDRESS:-127.0.0.1}
view=$state/view
kinds=(nginx nobody apache python)
# The ports of nginx, in this order from its first one.
nginx_ports=(HTML JSON BARE NORANGES HTTPS BASIC BEARER CLIENTCERT EXPIRED WRONGNAME PROXY GZIP UPGRADE
  DOWNGRADE DAV LIMITED TROUBLE BUSY)
# For the port DAV, which is there where this is (libnginx-mod-http-dav-ext).
dav_module=/usr/lib/nginx/modules/ngx_http_dav_ext_module.so
apache_modules=/usr/lib/apache2/modules
apache_has_dav() { [[ -f $apache_modules/mod_dav.so && -f $apache_modules/mod_dav_fs.so ]]; }

die() { echo "http.sh: $*" >&2; exit 1; }

need_packages() {
  local name missing=() policy=/usr/sbin/policy-rc.d made=
  for name in nginx-light apache2-bin openssl python3; do
    [[ $(dpkg-query -W -f='${Status}' "$name" 2>/dev/null) == "install ok installed" ]] ||
      missing+=("$name")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  [[ $EUID -eq 0 ]] || die "packages are missing; as root run: apt-get install ${missing[*]}"
  echo "http.sh: installing ${missing[*]}" >&2
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

# The pid of our server of a kind, if it is still that very process.
running_pid() {
  local pid began
  read -r pid began 2>/dev/null <"$state/$1.pid" || return 1
  [[ -n $began && $(start_time "$pid") == "$began" && $(process_state "$pid") != Z ]] || return 1
  echo "$pid"
}

# A process and all below it.
family() {
  local child
  echo "$1"
  for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do family "$child"; done
}

# end_all PID...: bounded; what is left after five seconds is killed.
end_all() {
  local pid left
  kill -CONT "$@" 2>/dev/null
  kill -TERM "$@" 2>/dev/null
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

stop_kind() {
  local pid
  if pid=$(running_pid "$1"); then
    # shellcheck disable=SC2046
    end_all $(family "$pid")
  fi
  rm -f "$state/$1.pid"
}

port_is_free() { ! (exec 3<>"/dev/tcp/$address/$1") 2>/dev/null; }

# choose_ports KIND COUNT: the first of so many free ones in a row, kept from start to start.
choose_ports() {
  local first i free
  first=$(cat "$state/$1.port" 2>/dev/null)
  for _ in $(seq 50); do
    free=
    if [[ -n $first ]]; then
      free=1
      for ((i = 0; i < $2; ++i)); do port_is_free $((first + i)) || free=; done
    fi
    [[ -z $free ]] || break
    first=$((20000 + RANDOM % 12000))
  done
  echo "$first" >"$state/$1.port"
}

first_port() { cat "$state/$1.port" 2>/dev/null || echo 0; }

nginx_port() {
  local i
  for i in "${!nginx_ports[@]}"; do
    [[ ${nginx_ports[$i]} != "$1" ]] || echo $(($(first_port nginx) + i))
  done
}

# certificate NAME SUBJECT_ALT_NAME CA [OPTION...]: NAME.pem with its key in NAME.key.
certificate() {
  local name=$1 san=$2 ca=$3
  shift 3
  openssl req -newkey rsa:2048 -nodes -keyout "$state/tls/$name.key" -subj "/CN=netfs test $name" \
    -out "$state/tls/$name.csr" 2>>"$state/log" || die "openssl failed; see $state/log"
  printf 'subjectAltName=%s\n' "$san" >"$state/tls/$name.ext"
  openssl x509 -req -in "$state/tls/$name.csr" -CA "$state/tls/$ca.pem" -CAkey "$state/tls/$ca.key" \
    -CAcreateserial -extfile "$state/tls/$name.ext" -out "$state/tls/$name.pem" "$@" \
    2>>"$state/log" || die "openssl failed; see $state/log"
}

make_certificates() {
  [[ ! -f $state/tls/done ]] || return 0
  mkdir -p "$state/tls"
  local ca
  for ca in ca other_ca; do
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=netfs test $ca" \
      -keyout "$state/tls/$ca.key" -out "$state/tls/$ca.pem" 2>>"$state/log" ||
      die "openssl failed; see $state/log"
  done
  certificate server "IP:127.0.0.1,IP:$address,DNS:localhost" ca -days 30
  certificate wrong_name DNS:another.example ca -days 30
  certificate client DNS:client ca -days 30
  # x509 takes no date in the past: one that ends a day before it begins has expired as well.
  certificate expired IP:127.0.0.1,DNS:localhost ca -days -1
  touch "$state/tls/done"
}

nginx_server() {
  local listen=$1
  shift
  echo "  server { listen $address:$listen; $* }"
}

nginx_config() {
  local kind=$1 user="$2" tls=$state/tls p
  local cert="ssl_certificate $tls/server.pem; ssl_certificate_key $tls/server.key;"
  local auth="auth_basic netfs; auth_basic_user_file $state/users;"
  mkdir -p "$state/$kind.tmp"
  [[ $EUID -ne 0 ]] || echo "user $user;"
  [[ ! -f $dav_module ]] || echo "load_module $dav_module;"
  cat <<CONFIG
worker_processes 2;
daemon off;
pid $state/$kind.own_pid;
error_log $state/$kind.log warn;
events { worker_connections 512; }
http {
  log_format all '\$server_port \$request_method \$request_uri \$status "\$http_range" "\$http_if_range" \$body_bytes_sent \$remote_port \$server_protocol';
  limit_req_zone \$request_uri zone=turns:1m rate=30r/m;
  access_log $state/$kind.access all;
  client_body_temp_path $state/$kind.tmp/b; proxy_temp_path $state/$kind.tmp/p;
  fastcgi_temp_path $state/$kind.tmp/f; uwsgi_temp_path $state/$kind.tmp/u;
  scgi_temp_path $state/$kind.tmp/s;
  default_type application/octet-stream;
  keepalive_requests 100000;
  large_client_header_buffers 4 32k;
  sendfile on;
  root $view;
CONFIG
  if [[ $kind == nobody ]]; then
    nginx_server "$(first_port nobody)" "autoindex on;"
  else
    p=$(first_port nginx)
    nginx_server $((p + 0)) "autoindex on;"
    nginx_server $((p + 1)) "autoindex on; autoindex_format json;"
    nginx_server $((p + 2)) ""
    nginx_server $((p + 3)) "autoindex on; max_ranges 0;"
    nginx_server "$((p + 4)) ssl http2" "autoindex on; $cert"
    nginx_server $((p + 5)) "autoindex on; $auth"
    nginx_server $((p + 6)) \
      "autoindex on; if (\$http_authorization != 'Bearer an-open-sesame') { return 401; }"
    nginx_server "$((p + 7)) ssl http2" \
      "autoindex on; $cert ssl_client_certificate $tls/ca.pem; ssl_verify_client on;"
    nginx_server "$((p + 8)) ssl" "ssl_certificate $tls/expired.pem;" \
      "ssl_certificate_key $tls/expired.key;"
    nginx_server "$((p + 9)) ssl" "ssl_certificate $tls/wrong_name.pem;" \
      "ssl_certificate_key $tls/wrong_name.key;"
    nginx_server $((p + 10)) "location / { proxy_pass http://\$http_host\$request_uri; }"
    # Of what has a NAME.gz beside it that is sent, whoever asks and whatever he takes.
    nginx_server $((p + 11)) "autoindex on; gzip_static always;"
    # To its https: side, as a directory without '/' is led on; and from https: to http:.
    nginx_server $((p + 12)) "return 301 https://$address:$((p + 4))\$uri/;"
    nginx_server "$((p + 13)) ssl" "return 302 http://$address:$p\$uri; $cert"
    # WebDAV as far as reading goes.
    [[ ! -f $dav_module ]] || nginx_server $((p + 14)) "autoindex on; dav_ext_methods PROPFIND OPTIONS;"
    # Each URL once in two seconds, and who comes sooner is told so.
    nginx_server $((p + 15)) "autoindex on; limit_req zone=turns; limit_req_status 429;" \
      "add_header Retry-After 2 always;"
    # Names that end in these, and what is not there: a page, and 200.
    nginx_server $((p + 16)) "autoindex on; error_page 404 =200 @page;" \
      "location ~ /loop\$ { return 302 \$request_uri; } location ~ /s500\$ { return 500; }" \
      "location ~ /s502\$ { return 502; } location ~ /s503\$ { return 503; }" \
      "location ~ /s504\$ { return 504; } location ~ /s403\$ { return 403; }" \
      "location ~ /packed\$ { gzip_static always; }" \
      "location ~ /as_json/ { types { } default_type application/json; }" \
      "location @page { default_type text/html; return 200 '<html>No such page, sorry.</html>'; }"
    # A name with NAME.busy beside it is to be asked for later.
    nginx_server $((p + 17)) "autoindex on; if (-f \$request_filename.busy) { return 429; }" \
      "add_header Retry-After 1 always;"
  fi
  echo "}"
}

apache_config() {
  local name tls=$state/tls port
  port=$(first_port apache)
  for name in mpm_event authz_core authz_host unixd dir autoindex mime alias ssl http2 proxy proxy_http \
    proxy_connect authn_core authn_file authz_user auth_basic env filter deflate dav dav_fs rewrite headers; do
    # What is built in has no file.
    [[ ! -f $apache_modules/mod_$name.so ]] || echo "LoadModule ${name}_module $apache_modules/mod_$name.so"
  done
  [[ $EUID -ne 0 ]] || printf 'User www-data\nGroup www-data\n'
  cat <<CONFIG
ServerRoot $state
ServerName 127.0.0.1
Listen $address:$port
Listen $address:$((port + 1)) https
<VirtualHost $address:$((port + 1))>
  SSLEngine on
  SSLCertificateFile $tls/server.pem
  SSLCertificateKeyFile $tls/server.key
  Protocols h2 http/1.1
</VirtualHost>
Listen $address:$((port + 2))
<VirtualHost $address:$((port + 2))>
  ProxyRequests On
  AllowCONNECT 1-65535
  CustomLog $state/apache.proxied "%r"
</VirtualHost>
Listen $address:$((port + 3))
<VirtualHost $address:$((port + 3))>
  <Location "/">
    AuthType Basic
    AuthName netfs
    AuthUserFile $state/users
    Require valid-user
  </Location>
</VirtualHost>
Listen $address:$((port + 4))
<VirtualHost $address:$((port + 4))>
  RedirectMatch 302 "(.*/loop)\$" "\$1"
$(printf '  RedirectMatch %d "/s%d$"\n' 403 403 500 500 502 502 503 503 504 504)
  Alias "/no-such-page" "$state/page.html"
  <LocationMatch "/file\$">
    FallbackResource /no-such-page
  </LocationMatch>
  <LocationMatch "/packed\$">
    SetOutputFilter DEFLATE
    SetEnv force-gzip 1
  </LocationMatch>
  <LocationMatch "/as_json/">
    ForceType application/json
  </LocationMatch>
</VirtualHost>
Listen $address:$((port + 5))
$(! apache_has_dav || echo "DavLockDB $state/apache.locks")
<VirtualHost $address:$((port + 5))>
  <Location "/">
    $(! apache_has_dav || echo "Dav On")
    <LimitExcept GET HEAD OPTIONS PROPFIND>
      Require all denied
    </LimitExcept>
  </Location>
</VirtualHost>
# The same over TLS, for who logs in.
Listen $address:$((port + 6)) https
<VirtualHost $address:$((port + 6))>
  SSLEngine on
  SSLCertificateFile $tls/server.pem
  SSLCertificateKeyFile $tls/server.key
  Protocols h2 http/1.1
  <Location "/">
    $(! apache_has_dav || echo "Dav On")
    AuthType Basic
    AuthName netfs
    AuthUserFile $state/users
    Require valid-user
    <LimitExcept GET HEAD OPTIONS PROPFIND>
      Require all denied
    </LimitExcept>
  </Location>
</VirtualHost>
Listen $address:$((port + 7))
<VirtualHost $address:$((port + 7))>
  RewriteEngine On
  RewriteCond "%{HTTP:Authorization}" "!=Bearer an-open-sesame"
  RewriteRule "^" - [R=401,L]
  Header always set WWW-Authenticate Bearer "expr=%{REQUEST_STATUS} == 401"
</VirtualHost>
Listen $address:$((port + 8)) https
<VirtualHost $address:$((port + 8))>
  SSLEngine on
  SSLCertificateFile $tls/server.pem
  SSLCertificateKeyFile $tls/server.key
  SSLCACertificateFile $tls/ca.pem
  SSLVerifyClient require
  Protocols h2 http/1.1
</VirtualHost>
Listen $address:$((port + 9)) https
<VirtualHost $address:$((port + 9))>
  SSLEngine on
  SSLCertificateFile $tls/expired.pem
  SSLCertificateKeyFile $tls/expired.key
</VirtualHost>
Listen $address:$((port + 10)) https
<VirtualHost $address:$((port + 10))>
  SSLEngine on
  SSLCertificateFile $tls/wrong_name.pem
  SSLCertificateKeyFile $tls/wrong_name.key
</VirtualHost>
# A name with NAME.busy beside it is to be asked for later.
Listen $address:$((port + 11))
<VirtualHost $address:$((port + 11))>
  RewriteEngine On
  RewriteCond "%{DOCUMENT_ROOT}%{REQUEST_URI}.busy" -f
  RewriteRule "^" - [R=429,L]
  Header always set Retry-After 1 "expr=%{REQUEST_STATUS} == 429"
</VirtualHost>
PidFile $state/apache.own_pid
DefaultRuntimeDir $state
ErrorLog $state/apache.log
CustomLog $state/apache.access "%{local}p %m %U%q %>s \"%{Range}i\" \"%{If-Range}i\" %B %{remote}p %H"
TypesConfig /dev/null
DocumentRoot $view
KeepAlive On
MaxKeepAliveRequests 0
LimitRequestLine 65000
<Directory />
  Options Indexes FollowSymLinks
  IndexOptions FancyIndexing NameWidth=20
  IndexIgnoreReset On
  AllowOverride None
  Require all granted
</Directory>
<LocationMatch "/listed_plain/\$">
  IndexOptions None
</LocationMatch>
<LocationMatch "/listed_as_table/\$">
  IndexOptions +HTMLTable
</LocationMatch>
CONFIG
}

# launch KIND COMMAND...: true once its first port answers.
launch() {
  local kind=$1 port pid
  shift
  port=$(first_port "$kind")
  # Standard output must not stay open in it: whoever reads ours would wait for ever.
  setsid "$@" </dev/null >>"$state/log" 2>&1 9>&- &
  pid=$!
  echo "$pid $(start_time "$pid")" >"$state/$kind.pid"
  for _ in $(seq 200); do
    running_pid "$kind" >/dev/null || return 1
    port_is_free "$port" || return 0
    sleep 0.05
  done
  return 1
}

launch_kind() {
  case $1 in
    nginx | nobody)
      choose_ports "$1" "${#nginx_ports[@]}"
      nginx_config "$1" "$([[ $1 == nginx ]] && echo root root || echo nobody nogroup)" >"$state/$1.conf"
      launch "$1" nginx -c "$state/$1.conf" -p "$state" -e "$state/$1.log"
      ;;
    apache)
      choose_ports apache 12
      printf '<html>No such page, sorry.</html>' >"$state/page.html"
      apache_config >"$state/apache.conf"
      launch apache apache2 -DFOREGROUND -f "$state/apache.conf"
      ;;
    python)
      choose_ports python 1
      launch python python3 -m http.server --bind "$address" --directory "$view" "$(first_port python)"
      ;;
    *) die "no kind '$1'; the kinds are: ${kinds[*]}" ;;
  esac
}

print_env() {
  local name
  for name in "${nginx_ports[@]}"; do
    [[ $name == DAV && ! -f $dav_module ]] || echo "HTTP_NGINX_${name}_PORT=$(nginx_port "$name")"
  done
  if apache_has_dav; then
    echo "HTTP_APACHE_DAV_PORT=$(($(first_port apache) + 5))"
    echo "HTTP_APACHE_DAVS_PORT=$(($(first_port apache) + 6))"
  fi
  cat <<ENV
HTTP_NOBODY_PORT=$(first_port nobody)
HTTP_APACHE_PORT=$(first_port apache)
HTTP_APACHE_HTTPS_PORT=$(($(first_port apache) + 1))
HTTP_APACHE_PROXY_PORT=$(($(first_port apache) + 2))
HTTP_APACHE_BASIC_PORT=$(($(first_port apache) + 3))
HTTP_APACHE_TROUBLE_PORT=$(($(first_port apache) + 4))
HTTP_APACHE_BEARER_PORT=$(($(first_port apache) + 7))
HTTP_APACHE_CLIENTCERT_PORT=$(($(first_port apache) + 8))
HTTP_APACHE_EXPIRED_PORT=$(($(first_port apache) + 9))
HTTP_APACHE_WRONGNAME_PORT=$(($(first_port apache) + 10))
HTTP_APACHE_BUSY_PORT=$(($(first_port apache) + 11))
HTTP_PYTHON_PORT=$(first_port python)
HTTP_ROOT=$root
HTTP_NGINX_ACCESS=$state/nginx.access
HTTP_APACHE_ACCESS=$state/apache.access
HTTP_APACHE_PROXIED=$state/apache.proxied
HTTP_CA=$state/tls/ca.pem
HTTP_OTHER_CA=$state/tls/other_ca.pem
HTTP_CLIENT_CERT=$state/tls/client.pem
HTTP_CLIENT_KEY=$state/tls/client.key
HTTP_USER=ann
HTTP_PASSWORD=a-pass-word
HTTP_BEARER=an-open-sesame
ENV
}

start() {
  [[ $# -gt 0 ]] || set -- "${kinds[@]}"
  mkdir -p "$state" "$root" "$view$(dirname "$root")"
  chmod 755 "$state"
  [[ -L $view$root ]] || ln -s "$root" "$view$root"
  # One at a time: tests run beside each other.
  exec 9>"$state/lock"
  flock -w 60 9 || die "another start does not end"
  need_packages
  make_certificates
  printf 'ann:%s\n' "$(openssl passwd -apr1 a-pass-word)" >"$state/users"
  local kind
  for kind in "$@"; do
    running_pid "$kind" >/dev/null && continue
    launch_kind "$kind" || { stop_kind "$kind"; launch_kind "$kind"; } ||
      { tail -n 5 "$state/log" >&2; die "$kind does not start; see $state/log"; }
  done
  exec 9>&-
}

signal_all() {
  local kind pid
  for kind in "${kinds[@]}"; do
    pid=$(running_pid "$kind") || continue
    # shellcheck disable=SC2046
    kill "-$1" $(family "$pid")
  done
}

case ${1:-} in
  start)
    shift
    start "$@"
    print_env
    ;;
  hold)
    fifo=${2:?}
    shift 2
    start "$@"
    print_env
    read -r _ <"$fifo"
    for kind in "${kinds[@]}"; do stop_kind "$kind"; done
    ;;
  env) print_env ;;
  stop) for kind in "${kinds[@]}"; do stop_kind "$kind"; done ;;
  pause) signal_all STOP ;;
  resume) signal_all CONT ;;
  status)
    up=
    for kind in "${kinds[@]}"; do
      if running_pid "$kind" >/dev/null; then up+=" $kind"; fi
    done
    if [[ -n $up ]]; then echo "up$up"; else echo down; exit 1; fi
    ;;
  *) sed -n '2,18s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
