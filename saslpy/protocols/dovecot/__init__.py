"""The Dovecot auth protocol: the sockets of Dovecot's ``auth`` service, spoken by Postfix, Exim, Dovecot itself and others.

Source: Dovecot's doc/auth-protocol.txt and src/auth/auth-client-connection.c, Postfix's src/xsasl/xsasl_dovecot_server.c,
Exim's src/auths/dovecot.c. ``fields`` and ``lines`` are what both of its dialects are made of: ``client`` (mail servers ask
whether a login is right) and ``master`` (they ask about accounts).
"""
