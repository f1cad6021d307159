"""What the terminal shows of what a command gave."""
