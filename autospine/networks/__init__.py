"""The planned U-Net and its parts."""
