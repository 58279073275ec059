"""What happened: login attempts and changes, one row each."""
