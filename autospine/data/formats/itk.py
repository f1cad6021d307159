"""The one place that loads the libraries which read images: SimpleITK and nibabel."""

from __future__ import annotations

import re
from functools import cache
from typing import Any


@cache
def sitk() -> Any:
    """SimpleITK, loaded where a file is read or written: training on prepared cases does without it."""
    import SimpleITK

    library: Any = SimpleITK  # its wrappers bear no types
    # Its warnings go to the terminal past every logger; what matters in them is raised as an error here.
    library.ProcessObject.SetGlobalWarningDisplay(False)
    return library


@cache
def nibabel() -> Any:
    """nibabel, loaded where a NIfTI, MGH or Analyze file is read or written."""
    import nibabel

    library: Any = nibabel
    return library


def reason(fault: Exception) -> str:
    """What ITK says, without the places in its source."""
    text = str(fault).split("ERROR:")[-1]
    return " ".join(re.sub(r"\(0x[0-9a-f]+\)", "", text).split())[:200]
