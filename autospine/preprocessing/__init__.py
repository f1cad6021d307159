"""Crop, normalise, resample and store cases, and bring predictions back to the image grid."""
