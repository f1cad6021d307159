"""A report as one HTML file that opens offline: what was found out of a run, a study or a folder of segmentations.

`material` is what a workflow has gathered, a module for each section makes `blocks` of it (words, tables, figures,
slices to scroll through), `document` puts these into HTML. Nothing here reads a run.
"""
