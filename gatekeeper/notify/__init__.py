"""What the gate tells people and programs: codes and mail through a queue that survives a crash, webhooks, console."""
