"""A plan fitted to the time that a user has, by measuring on the device at hand."""
