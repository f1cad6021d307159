"""The plan and the recipe as documents: their parts, what they may hold, their files, and how they are read."""
