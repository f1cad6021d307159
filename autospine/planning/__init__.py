"""From a fingerprint of the data to a plan with reasons: numbers only, no torch."""
