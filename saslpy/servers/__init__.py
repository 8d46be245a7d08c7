"""The trio side of the front ends: thin loops between sockets and the pure protocols."""
