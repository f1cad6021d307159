"""What this machine has and how it computes: cores, memory, folders, devices and their precisions."""
