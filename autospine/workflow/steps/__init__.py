"""The steps that commands consist of: one stage of the package after the other, on what stands in run folders."""
