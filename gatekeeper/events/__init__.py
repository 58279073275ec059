"""What happens, told to programs: the live stream, webhooks, JSON lines, syslog."""
