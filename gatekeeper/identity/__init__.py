"""Accounts and how one proves to own one: the services and their JSON endpoints."""
