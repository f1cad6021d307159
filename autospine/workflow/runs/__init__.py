"""What run folders hold, what it says of what was done, and what may become of it."""
