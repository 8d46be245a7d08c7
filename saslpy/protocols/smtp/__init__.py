"""SMTP, both sides, without I/O: ``server`` is the machine of a submission server, ``client`` that of a relay."""
