"""One module a subject of the panel: its page and its JSON."""
