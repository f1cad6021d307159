"""What the values and structures of mask files mean, and where they lie on their image."""
