"""What the daemon tells about itself: log lines and audit lines."""
