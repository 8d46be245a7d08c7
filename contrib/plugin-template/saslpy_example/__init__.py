"""Two backends for saslpy: ``users``, a store in threads, and ``web``, a verifier in worker processes. Keep one."""
