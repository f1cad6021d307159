"""One module a format of image files, and what tells a whole file of its format from a broken or disguised one."""
