"""Processes that prepare samples: whatever ends them, nobody waits for them; interruptions are not for them."""

import multiprocessing
import os
import signal
import threading
from queue import SimpleQueue

import pytest

from savs_benchmarks.digits.digits import benchmark_pictures
from savs_harvest.asking.preparing import Preparer, Question, _ask, preparing


@pytest.fixture
def preparer(loaded):
    model = loaded["qwen2vl"]
    return Preparer(model.folder, model.model.dtype, (), False, model.processor)


QUESTIONS = [[Question((benchmark_pictures("test", digit)[0],), "odd or even ?")] for digit in range(10)]


def test_a_worker_that_dies_in_the_middle_of_its_answer_is_not_waited_for():
    """The rest of the answer was waited for, for ever: other workers held the same pipe open."""
    ours, theirs = multiprocessing.Pipe()
    idle = SimpleQueue()
    idle.put(ours)

    def die():
        theirs.recv()
        os.write(theirs.fileno(), (1000).to_bytes(4) + b"half an answer")
        theirs.close()

    threading.Thread(target=die).start()
    with pytest.raises(ChildProcessError, match="fewer --workers"):
        _ask(idle, QUESTIONS[0])


@pytest.mark.slow
def test_workers_answer_after_an_interruption_and_end_with_the_block(preparer):
    expected = [preparer.inputs(question)["input_ids"].tolist() for [question] in QUESTIONS]
    with preparing(preparer, 2) as prepare_all:
        for worker in multiprocessing.active_children():  # Ctrl-C reaches all processes of a terminal, as they begin
            os.kill(worker.pid, signal.SIGINT)
            os.kill(worker.pid, signal.SIGTERM)
        assert [found["input_ids"].tolist() for [found] in prepare_all(QUESTIONS)] == expected
        assert len(multiprocessing.active_children()) == 2
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_block(preparer):
    def kill_in_between():
        with preparing(preparer, 1) as prepare_all:
            answers = prepare_all(QUESTIONS)
            next(answers)
            multiprocessing.active_children()[0].kill()
            list(answers)

    with pytest.raises(ChildProcessError, match="has died"):
        kill_in_between()
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_what_a_worker_raises_is_raised_here(preparer):
    with pytest.raises(AttributeError, match="'int' object"), preparing(preparer, 1) as prepare_all:
        next(prepare_all([[1], *QUESTIONS]))
    assert multiprocessing.active_children() == []
