"""Second factors: TOTP, passkeys, recovery codes, and devices that are remembered. Used by login and step-up."""
