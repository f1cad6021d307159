"""What is on disk: volumes, datasets, their faults and their folds."""
