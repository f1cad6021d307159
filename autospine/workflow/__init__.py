"""Whole commands as functions: what a command line does, callable from Python.

A command is a module here. It takes its `steps`, and `runs` knows what a run folder holds and what may become of it.
"""
