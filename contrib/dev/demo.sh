#!/bin/sh
# demo.sh BIN: the daemon on its embedded store, with a demo user; everything it makes is in one folder.
# SASLPY_DEMO names another one.
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
folder=${SASLPY_DEMO:-$folder}
# for the commands below; a demo goes on without them
[ -x /usr/sbin/testsaslauthd ] || sh contrib/dev/packages.sh 'so there is no testsaslauthd yet' sasl2-bin || :
# swaks has TLS by Net::SSLeay, which Debian does not always install with it
{ command -v swaks && perl -MNet::SSLeay -e 1; } >/dev/null 2>&1 ||
    sh contrib/dev/packages.sh 'so there is no swaks with TLS yet' swaks libnet-ssleay-perl || :

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

# Mail is taken on loopback and kept in a maildir. The port is a free one, and stays the same.
mail=$folder/data/mail
# a certificate is good for 90 days
if [ -z "$(find "$folder/fullchain.pem" -mtime -60 2>/dev/null)" ]; then
    (umask 077; "$bin/python" -m saslpy.cli.selfsigned localhost "$folder/fullchain.pem" "$folder/privkey.pem")
    chmod 644 "$folder/fullchain.pem"
fi
# a demo of an earlier checkout had no TLS
grep -q '^\[submission.tls\]' "$config" || sed -i '/^\[\[listen\]\] *# where people and programs send mail$/,$d' "$config"
if ! grep -q '^\[submission\]' "$config"; then
    port=$("$bin/python" - <<'END'
import socket

for port in (1587, 0):
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(sock.getsockname()[1])
        break
END
)
    cat >>"$config" <<END

[[listen]]                     # where people and programs send mail
protocol = "submission"
address = "127.0.0.1:$port"

[submission]
hostname = "localhost"

[submission.tls]               # made for this demo: who sends in earnest has one that his programs trust
certificate = "fullchain.pem"
key = "privkey.pem"

[[relay.route]]                # for trying things out: all mail is kept in a folder
domains = ["*"]
via = "capture:data/mail"
END
fi
port=$(sed -n 's/^address = "127\.0\.0\.1:\([0-9]*\)"$/\1/p' "$config" | tail -n 1)

cat <<END
saslpy runs on $config
the demo user is demo@example.org, with the password $password

try in another terminal:

  /usr/sbin/testsaslauthd -u demo@example.org -p '$password' -s smtp -f $folder/run/mux
  printf %s '$password' | $bin/saslpy test demo@example.org --password-stdin --via $folder/run/mux
  printf %s '$password' | $bin/saslpy test demo@example.org --password-stdin --config $config
  $bin/saslpy user list --config $config

send mail, which comes into the folder $mail/new:

  swaks --server 127.0.0.1:$port --tls --auth PLAIN --auth-user demo@example.org --auth-password '$password' --from demo@example.org --to friend@example.net
  $bin/saslpy check --relay-test --config $config

END
echo "Ctrl-C ends it. What follows is its log."
exec "$bin/saslpy" serve --config "$config"
