"""What several layouts need: names of files, masks and their images, what a layout hands back."""
