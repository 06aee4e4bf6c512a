"""A task's name in tables: the benchmark's, and its own where there are several."""

import pytest

from savs_analyze.draws.task import Task
from savs_stores import BenchmarkInfo, write_store


@pytest.mark.parametrize(
    ("tasks", "names"), [(["all"], ["animals"]), (["first", "second"], ["animals / first", "animals / second"])]
)
def test_a_task_is_named_where_there_are_several(tmp_path, generator, tasks, names):
    store = write_store(
        tmp_path / "animals.zarr",
        benchmark=BenchmarkInfo("animals", {task: ["cat", "dog"] for task in tasks}),
        samples={"label": ["cat", "dog"] * 4, "task": [tasks[i % len(tasks)] for i in range(8)]},
        model="m",
        heads=generator.normal(size=(8, 1, 2, 3)),
    )
    assert [Task(store["m"], task).name for task in tasks] == names
