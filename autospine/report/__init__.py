"""Figures of a training and of its predictions."""
