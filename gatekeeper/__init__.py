"""Gatekeeper: an authenticating reverse proxy in front of APIs that have no login."""

__version__ = "0.1.0"
