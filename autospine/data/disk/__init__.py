"""Files that are whole or not there, temporary ones, and locks."""
