"""``saslpy check --relay-test``: a stranger without a login tries to have a running submission server take mail from him.

``tricks`` is the list of what he tries, ``talk`` is one connection, ``attack`` the whole of it with its verdicts. Nothing
is sent to anybody but the listener. The addresses are in a domain that does not exist (RFC 2606, 2), and a dialogue ends
as soon as something of it is accepted, so that even an open relay is handed no whole message.
"""
