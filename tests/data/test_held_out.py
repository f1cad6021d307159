"""What must not be learnt from, by voxels and by subject."""

from __future__ import annotations

from autospine.data.held_out import Seen, leave_out


def seen(case: str, digest: str, subject: str = "", dataset: str = "demo") -> Seen:
    return Seen(dataset, case, subject or case, digest)


def test_the_same_voxels_and_the_same_subject_are_left_out() -> None:
    held = [seen("v", "1", "p7")]
    images = [seen("a", "2"), seen("copy", "1"), seen("again", "3", "p7"), seen("P7", "4", dataset="other")]
    assert leave_out(images, held) == {
        1: "the same image as demo/v, which is left out",
        2: "of the subject p7, of whom demo/v is left out",
        3: "a subject called P7, as that of demo/v, which is left out",
    }


def test_what_is_left_out_takes_its_subject_and_its_copies_along() -> None:
    """v, and its copy under another name, whose subject has a second image, of which there is a copy."""
    held = [seen("v", "1")]
    images = [
        seen("far", "3", dataset="other"),
        seen("second", "3", "q"),
        seen("copy", "1", "q"),
        seen("free", "9"),
    ]
    reasons = leave_out(images, held)
    assert sorted(reasons) == [0, 1, 2]
    assert reasons[1] == "of the subject q, of whom demo/copy is left out"
    assert reasons[0] == "the same image as demo/second, which is left out"


def test_of_equal_images_one_is_used() -> None:
    images = [seen("a", "1"), seen("b", "1", dataset="other"), seen("c", "2")]
    assert leave_out(images, []) == {1: "the same image as demo/a, which is used"}


def test_a_copy_with_fewer_sequences_and_a_session_of_the_same_person() -> None:
    held = [Seen("demo", "v", "p7", "12", ("p7",), ("1", "2"))]
    images = [
        Seen("other", "x", "x", "1", ("x",)),  # the first channel alone
        Seen("other", "y", "y", "39", ("y",), ("3", "9")),
        Seen("other", "P07_visit3", "P07_visit3", "4", ("p07_visit3", "p7")),
    ]
    reasons = leave_out(images, held)
    assert reasons == {
        0: "the same image as demo/v, which is left out",
        2: "a subject called p7, as that of demo/v, which is left out",
    }
