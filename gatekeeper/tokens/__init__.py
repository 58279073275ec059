"""Tokens and sessions: keys, access and refresh tokens, rotation, revocation."""
