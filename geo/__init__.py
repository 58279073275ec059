"""Where a client is and what it is: pure look-ups, no I/O but the mmdb file."""
