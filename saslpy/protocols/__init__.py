"""Wire formats: bytes to events and back, without a socket, a clock or an await."""
