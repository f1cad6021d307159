"""OpenVINO, loaded so that it tells nobody.

Where the package `openvino_telemetry` can be imported, OpenVINO reports its first import and each conversion over the
network, unless the user has forbidden it. Images of patients are segmented on machines that report nothing: the package
is kept out while OpenVINO is loaded, which then takes the stand-in that it has for an installation without it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from threading import Lock
from typing import Any

_TELEMETRY = "openvino_telemetry"
_lock = Lock()


def has_openvino() -> bool:
    """Whether OpenVINO is installed; it is not loaded."""
    return importlib.util.find_spec("openvino") is not None


def openvino() -> Any:
    """The module `openvino`. Raises `ImportError` where it is not installed or cannot be loaded here."""
    with _lock:
        if "openvino" in sys.modules:
            return sys.modules["openvino"]
        before = sys.modules.get(_TELEMETRY)
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # from here on, to import it is an ImportError
        try:
            return importlib.import_module("openvino")
        finally:
            del sys.modules[_TELEMETRY]
            if before is not None:
                sys.modules[_TELEMETRY] = before
