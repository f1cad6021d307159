"""Whole commands as functions: what a command line does, callable from Python."""
