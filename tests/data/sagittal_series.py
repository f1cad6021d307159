"""A sagittal series, turned a little: its voxels and grid, a segmentation of it, and whether a volume is it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.uid import generate_uid

from autospine.data.geometry import Geometry, Volume, same_grid, to_canonical
from tests.data.dicom_files import write_series

SHAPE = (6, 8, 10)
ARRAY = np.random.default_rng(0).integers(0, 4000, SHAPE).astype(np.uint16)


def sagittal(tilt: float = 0.1) -> Geometry:
    """Slices from right to left, turned a little about the body's axis, as scanners give them."""
    cosine, sine = float(np.cos(tilt)), float(np.sin(tilt))
    columns = np.array([[-sine, cosine, 0.0], [0.0, 0.0, -1.0], [-cosine, -sine, 0.0]]).T  # X, Y, Z
    return Geometry(SHAPE, (4.4, 0.9, 0.7), (30.5, -120.25, 310.125), tuple(columns.ravel().tolist()))


GRID = sagittal()


def same(volume: Volume, array: np.ndarray = ARRAY, geometry: Geometry = GRID) -> None:
    """Whatever the direction of its slices: the same voxels at the same places."""
    found, wanted = to_canonical(volume), to_canonical(Volume(array[None], geometry))
    assert same_grid(found.geometry, wanted.geometry, 1e-4) is None
    np.testing.assert_array_equal(found.array, wanted.array)


def write_segmentation(root: Path) -> tuple[Path, np.ndarray]:
    """A series and a DICOM-SEG object of two segments on some of its slices."""
    import highdicom as hd

    sources = [dcmread(path) for path in write_series(root / "series", ARRAY, GRID)]
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:3, 2:5, 3:7], mask[3, 2:4, 1:3] = 1, 2
    segments = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=hd.sr.CodedConcept("123037004", "SCT", "Anatomical structure"),
            segmented_property_type=hd.sr.CodedConcept("51282000", "SCT", "Vertebra"),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(("L5", "L4"), 1)
    ]
    segmentation = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=mask,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="0",
        device_serial_number="0",
    )
    path = root / "seg.dcm"
    segmentation.save_as(path)
    return path, mask
