"""A year of synthetic logins with planted attacks, to see what the signals find and whom they bother."""
