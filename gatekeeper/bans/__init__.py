"""Bans at work: made by strikes and by people, followed from the store by every worker."""
