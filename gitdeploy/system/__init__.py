"""What Linux gives: child processes, signals, durable files, /proc, users."""
