"""The commands: each parses what was typed, calls one function of a room below, and shows what it gave."""
