"""From what was measured to a plan: a small function a decision, each with its reason."""
