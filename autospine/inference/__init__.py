"""From an image to a label map on its own grid."""
