#!/bin/sh
# demo.sh BIN: the daemon on its embedded store, with a demo user; everything it makes is in one folder.
set -eu
bin=$(cd "$1" && pwd)
umask 022
root=$(id -u)

# As root the daemon goes on as an ordinary user, who must be able to reach its folder: a checkout under /root is not.
if [ "$root" = 0 ]; then
    folder=/run/saslpy-demo
    id saslpy >/dev/null 2>&1 && user=saslpy || user=nobody
else
    folder=$(pwd)/.demo
    user=
    # the path of a unix socket has 107 bytes at most
    [ ${#folder} -le 90 ] || folder=${XDG_RUNTIME_DIR:-/tmp}/saslpy-demo-$root
fi
# testsaslauthd, for the first of the commands below; a demo goes on without it
[ -x /usr/sbin/testsaslauthd ] || sh contrib/dev/packages.sh 'so there is no testsaslauthd yet' sasl2-bin || :

config=$folder/saslpy.toml
mkdir -p "$folder"
[ -O "$folder" ] || { echo "$folder belongs to somebody else; remove it first" >&2; exit 1; }

# the password is written last: without it, an earlier start was cut short
if [ ! -e "$folder/password" ]; then
    rm -rf "$config" "$folder/data" "$folder/run"
    "$bin/saslpy" init "$folder" ${user:+--user "$user"} >/dev/null
    password=$("$bin/python" -c 'import secrets; print(secrets.token_hex(6))')
    printf '%s' "$password" | "$bin/saslpy" user add demo@example.org --config "$config" --password-stdin >/dev/null
    (umask 077; printf '%s\n' "$password" >"$folder/password")
fi
password=$(cat "$folder/password")

cat <<END
saslpy runs on $config
the demo user is demo@example.org, with the password $password

try in another terminal:

  /usr/sbin/testsaslauthd -u demo@example.org -p '$password' -s smtp -f $folder/run/mux
  printf %s '$password' | $bin/saslpy test demo@example.org --password-stdin --via $folder/run/mux
  printf %s '$password' | $bin/saslpy test demo@example.org --password-stdin --config $config
  $bin/saslpy user list --config $config

END
echo "Ctrl-C ends it. What follows is its log."
exec "$bin/saslpy" serve --config "$config"
