from __future__ import annotations

from autospine.planning.document.expected import Expected
from autospine.training.progress import FitResult
from autospine.workflow.steps.expectation import compare_expected, describe_comparisons

EXPECTED = Expected(memory_gb=2.0, device="CPU, 2 cores, float32", seconds_per_step=0.5, steps=1000)


def test_found_figures_stand_beside_the_expected_ones() -> None:
    result = FitResult(800, 500.0, (), 0.625, 1_500_000_000)
    text = describe_comparisons(compare_expected(EXPECTED, 2.0, result, "CPU, 2 cores, float32"))
    assert text == (
        "seconds a step: 0.5 expected, 0.625 found (+25%); steps: 1000 expected, 800 found (-20%); "
        "memory in GB: 2 expected for tensors, the whole process grew by 1.5"
    )


def test_memory_of_a_gpu_is_that_of_its_tensors() -> None:
    result = FitResult(800, 500.0, (), 0.625, 1_500_000_000)
    text = describe_comparisons(compare_expected(EXPECTED, 2.0, result, "NVIDIA H100, half"))
    assert text == "memory in GB: 2 expected, 1.5 found (-25%)"


def test_times_of_another_device_are_not_compared() -> None:
    result = FitResult(800, 500.0, (), 0.625, 1_500_000_000)
    assert [item.key for item in compare_expected(EXPECTED, 2.0, result, "CPU, 8 cores, float32")] == ["memory_gb"]


def test_steps_of_another_budget_are_not_compared() -> None:
    result = FitResult(80, 50.0, (), 0.625, None)
    compared = compare_expected(EXPECTED, 2.0, result, "CPU, 2 cores, float32", same_schedule=False)
    assert [(item.key, item.difference) for item in compared] == [("seconds_per_step", 0.25)]


def test_nothing_expected_nothing_compared() -> None:
    result = FitResult(800, 500.0, (), None, None)
    assert compare_expected(Expected(2.0), 2.0, result, "cpu") == ()
    assert [item.key for item in compare_expected(EXPECTED, 2.0, result, "CPU, 2 cores, float32")] == ["steps"]
