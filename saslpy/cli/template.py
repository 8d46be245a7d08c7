"""The configuration that ``saslpy init`` writes: a format string, so braces that stay are doubled."""

TEMPLATE = """\
# saslpy: who may log in, and who may ask. `saslpy check` finds faults in this file, `saslpy serve` runs it.
# Paths are taken from the folder of this file. What is commented out shows the default.

[daemon]
{user: <29}  # started by root, the daemon goes on as this user
{run_dir: <29}  # for the socket that `saslpy status` asks
{state_dir: <29}  # for what outlives the daemon
# log_format = "logfmt"        # or "json"
# log_level = "info"           # debug, info, warning, error; audit lines are always written

[auth]
chain = ["local"]              # backends, in the order in which they are asked
# default_domain = ""          # added to a login without a domain
# realm_join = "join"          # "join": login + realm = login@realm; "ignore": no realm; "require": never without
# mechanisms = ["PLAIN", "LOGIN"]    # on sockets that offer any; `saslpy check` says which cannot be served
# master_users = []            # who may act as any user: admin@example.org with the authorization identity joe@example.org
# deadline = 8.0               # seconds for one login; Postfix gives up after 10
# [auth.passwords]
# forbid = ["PLAIN", "DES-CRYPT"]    # stored in one of these, a password never matches

# Another chain for some domains or services:
# [[auth.route]]
# domains = ["corp.example.com"]
# chain = ["virtual"]

[backend.local]                # users in a file of our own: `saslpy user add joe@example.org`
type = "sqlite"
path = "{store}"

# [backend.virtual]            # virtual users in MySQL or MariaDB: pip install 'saslpy[mysql]'
# type = "mysql"
# hosts = ["127.0.0.1:3306"]   # or socket = "/run/mysqld/mysqld.sock"
# user = "mail"
# password_file = "mysql.password"
# database = "mail"
# schema = "postfixadmin"      # or "extmail", or table and columns:
# table = "users"
# columns = {{ username = "email", password = "password" }}
#                              # or a query of your own:
# query = "SELECT password FROM users WHERE email = %(login)s"

# [backend.devices]            # users in this file
# type = "static"
# users = {{ "printer@example.org" = "{{SHA512-CRYPT}}$6$…" }}    # `saslpy hash` prints such a value

[[listen]]                     # what Postfix (Cyrus SASL), Exim, Cyrus IMAP, OpenLDAP and testsaslauthd speak
protocol = "saslauthd"
path = "{socket}"
# mode = "0660"                # who may ask is who may connect
# group = "sasl"

# [[listen]]                   # what Postfix (smtpd_sasl_type = dovecot), Exim and Dovecot's login processes speak
# protocol = "dovecot"
# path = "/var/spool/postfix/private/auth"
# group = "postfix"

# [[listen]]                   # where people and programs send mail; "submission" (587) begins TLS by STARTTLS
# protocol = "submissions"
# address = "0.0.0.0:465"
# [submission]
# hostname = "mail.example.org"
# tls = {{ certificate = "fullchain.pem", key = "privkey.pem" }}
# [[relay.route]]              # and where that mail goes
# domains = ["*"]
# via = "smtp://smarthost.example.net:587"    # or "lmtp:/run/dovecot/lmtp", or "capture:mail" for trying things out
# login = "joe"
# password_file = "smarthost.password"
"""
