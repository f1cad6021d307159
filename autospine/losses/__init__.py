"""Dice and cross entropy, plain or weighted by the size of the anatomy."""
