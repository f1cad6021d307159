"""What a training takes, on paper: memory, work, time."""
