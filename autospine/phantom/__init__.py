"""Synthetic spines: labelled volumes that behave like MR scans, for the demonstration and the tests."""
