"""What people see of the gate itself: login, logout, the first admin. Templates and static files included."""
