"""What computes a network in prediction: torch, or on a CPU a network compiled for it, where that is faster."""
