"""From prepared cases to a checkpoint: sampling, augmentation and one visible loop."""
