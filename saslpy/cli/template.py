"""The configuration that ``saslpy init`` writes: format strings, so braces that stay are doubled."""

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

{mux}
# [[listen]]                   # what Postfix (smtpd_sasl_type = dovecot), Exim and Dovecot's login processes speak
# protocol = "dovecot"
# path = "/var/spool/postfix/private/auth"
# group = "postfix"

{submission}"""

MUX = """\
[[listen]]                     # what Postfix (Cyrus SASL), Exim, Cyrus IMAP, OpenLDAP and testsaslauthd speak
protocol = "saslauthd"
path = "{socket}"
# mode = "0660"                # who may ask is who may connect
# group = "sasl"
"""

NO_SUBMISSION = """\
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

SUBMISSION = """\
[[listen]]                     # where people and programs send mail: they begin TLS by STARTTLS
protocol = "submission"
address = "{starttls}"

[[listen]]                     # the same with TLS from the first byte, which is better where a program knows it
protocol = "submissions"
address = "{implicit}"
# proxy_protocol = ["192.0.2.7"]    # where a load balancer stands before it, and says who the clients are

[submission]
{hostname: <29}  # what mail programs are set to: the certificate is for this name
# require_tls = true           # no login and no mail before TLS
# sender_binding = "strict"    # joe sends as himself, as his aliases and joe+tag; "envelope" lets programs write any From
# workers = 1                  # processes that serve

[submission.tls]               # files are read anew when they change
{certificate: <29}  # with those of its authorities behind it, such as certbot's fullchain.pem
{key}

# [submission.limits]          # what a login may send, whoever has stolen its password
# messages_per_hour = 500
# recipients_per_day = 2000
# message_size = 52428800      # octets

# [[submission.legacy]]        # machines that cannot log in, such as printers: all as one sender
# networks = ["192.168.1.20"]
# sender = "printer@example.org"

[[relay.route]]                # where mail goes; a message is answered when this next hop has taken it
domains = ["*"]                # of recipients; another [[relay.route]] may be for some of them
{via}
{login}
# tls = "require"              # never without a verified certificate; within this machine "opportunistic"
# ca_file = "ca.pem"           # where the next hop's authority is not one of the system's
"""

SMARTHOST = """\
via = {via}  # or ["smtp://a…", "smtp://b…"], tried in order"""

CAPTURE = """\
via = {via}  # a folder that keeps all mail, for trying things out; then the smarthost:
# via = "smtp://smarthost.example.net:587"    # or "smtps://…", or "lmtp:/run/dovecot/lmtp" here"""

LOGIN = """\
login = {login}
password_file = {password_file}  # its first line"""

NO_LOGIN = """\
# login = "office"             # where the next hop wants one
# password_file = "smarthost.password"    # its first line; chmod 600"""
