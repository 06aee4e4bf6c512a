"""Methods of others: what is added is added whole, and is never taken for something else."""

import numpy as np
import pytest

from kit.registered import added
from savs_analyze.measure.metrics import unit_scores
from savs_analyze.methods.kinds.heads import Savs
from savs_analyze.methods.method import LOGITS
from savs_analyze.methods.recipes import METHODS, Recipe
from savs_analyze.methods.rooms import ROOMS, Included, include, register
from savs_analyze.methods.settings import Setting, make_setting
from savs_analyze.parts.selection import Scoring
from savs_analyze.registry import SESSION
from savs_analyze.runs.cells import Cell, plan_cells
from savs_analyze.votes.similarity import KERNELS, Kernel, Similarity, left_out_similarities, similarities
from savs_analyze.votes.vote import Vote
from savs_metrics import Metric

KERNEL = """
import numpy as np
from savs_analyze.votes.similarity import Kernel
base = Kernel("of-base", lambda x, u: np.matmul(x, u.transpose(0, 2, 1)){extra})
"""
FORM = """
from savs_analyze.methods.kinds.heads import Savs
from savs_analyze.methods.recipes import Recipe
from savs_analyze.parts.selection import Scoring
from savs_analyze.votes.similarity import Kernel, Similarity
form = Kernel("of-form", of="of-base", form=lambda base, gamma, beta: -abs(base - 5))
def make(k):
    return Savs(k, Scoring(Similarity("of-form")), voting=Similarity("of-form"))
method = Recipe("by-form", "f", "me", {"k": 5}, make)
"""


@pytest.fixture(autouse=True)
def _as_before():
    before = {kind: set(registry) for kind, (_, registry) in ROOMS.items()}
    yield
    for kind, (_, registry) in ROOMS.items():
        for name in set(registry) - before[kind]:
            registry.remove(name)


def recipe(name="mine", make=lambda k: Savs(k)):
    return Recipe(name, "f", "me", {"k": 5}, make)


def key_of(name):
    setting = make_setting(name)
    return Cell("b", "m", "f", "i", "r", "accuracy", settings=(setting,), origins=tuple(setting.origins)).key


def test_a_method_of_a_session_may_be_registered_anew_and_never_shares_results():
    register(recipe())
    first = key_of("mine")
    register(recipe(make=lambda k: Savs(k, vote="soft")))
    assert make_setting("mine").method.vote == "soft"
    assert METHODS.origin("mine").source == SESSION
    assert key_of("mine") != first


def test_a_metric_of_a_session_scores_and_names_its_cells():
    kind = Cell("b", "m", "f", "i", "r", "half")
    settings = [make_setting("ridge")]
    assert [cell.origins for cell in plan_cells(kind, {"all": {LOGITS}}, {"all": [5]}, 1, settings)] == [()]
    register(Metric("half", lambda predicted, label: {"half": np.full(len(label), 0.5)}, slots=2))
    [cell] = plan_cells(kind, {"all": {LOGITS}}, {"all": [5]}, 1, settings)
    assert [origin.source for origin in cell.origins] == [SESSION]
    zeros, places = np.zeros(4, int), np.arange(4)
    assert unit_scores("half", zeros, zeros, places, places // 2, places % 2, 2).values()["half"] == 0.5


def test_a_metric_of_more_slots_than_a_sample_may_name_is_refused():
    with pytest.raises(ValueError, match="1 to 4 samples at a time, not 5"):
        Metric("many", lambda predicted, label: {}, slots=5)


def test_a_key_knows_the_base_of_a_form():
    include([Included("base.py", KERNEL.format(extra="")), Included("form.py", FORM)])
    assert {origin.source for origin in make_setting("by-form").origins} == {"base.py", "form.py"}
    first = key_of("by-form")
    for registry, name in ((METHODS, "by-form"), (KERNELS, "of-form"), (KERNELS, "of-base")):
        registry.remove(name)
    include([Included("base.py", KERNEL.format(extra=" * 2")), Included("form.py", FORM)])
    assert key_of("by-form") != first


def test_a_form_that_does_not_grow_is_not_its_base():
    include([Included("base.py", KERNEL.format(extra="")), Included("form.py", FORM)])
    kind = Similarity("of-form")
    assert kind.base == kind
    assert make_setting("by-form").method.canonical.scoring.similarity == kind
    generator = np.random.default_rng(0)
    x, u = generator.normal(size=(5, 2, 3)) * 3, generator.normal(size=(2, 2, 3)) * 3
    np.testing.assert_allclose(similarities(kind, x, u), -abs(np.einsum("shd,chd->sch", x, u) - 5))


def test_leave_one_out_of_a_kernel_from_outside_is_brute_force():
    with added(KERNELS, Kernel("largest", lambda x, u: -(np.abs(x[:, :, None] - u[:, None]).max(axis=-1) ** 3))):
        generator = np.random.default_rng(0)
        vectors, labels = generator.normal(size=(8, 2, 3)), np.repeat([0, 1], 4)
        means = np.stack([vectors[labels == label].mean(axis=0) for label in (0, 1)])
        found = left_out_similarities(Similarity("largest"), vectors, labels, means)
        for sample, label in enumerate(labels):
            others = np.delete(np.arange(8), sample)
            without = vectors[others][labels[others] == label].mean(axis=0)
            expected = -(np.abs(vectors[sample] - without).max(axis=-1) ** 3)
            np.testing.assert_allclose(found[sample, label], expected)


@pytest.mark.parametrize("of", ["rbf", "nothing"])
def test_a_form_of_what_compares_nothing_is_refused(of):
    with (
        added(KERNELS, Kernel("of-nothing", of=of, form=lambda base, gamma, beta: base)),
        pytest.raises(ValueError, match=f"the similarity 'of-nothing' is a form of '{of}', which compares no vectors"),
    ):
        Similarity("of-nothing")


def test_a_method_that_cannot_be_made_is_refused_when_it_is_added():
    broken = recipe("broken", lambda k: Savs(k, Scoring(criterion="nothing")))
    with pytest.raises(ValueError, match="the method 'broken' cannot be made: ValueError: unknown criterion 'nothing'"):
        register(Vote("fine", len), broken)
    assert "broken" not in METHODS
    assert make_setting("savs-margin").same_as == ""


def test_a_file_is_added_whole_or_not_at_all_and_by_its_text():
    source = "from savs_analyze.votes.vote import Vote\nfine = Vote('fine', len)\ntaken = Vote('majority', len)\n"
    for _ in range(2):
        with pytest.raises(ValueError, match=r"a.py: the vote 'majority' of a.py is taken: savs has one"):
            include([Included("a.py", source)])
    once = "from savs_analyze.votes.vote import Vote\nfine = Vote('fine', len)\n"
    include([Included("a.py", once), Included("./a.py", once)])
    with pytest.raises(ValueError, match=r"a.py, line 1: SystemExit: 3"):
        include([Included("a.py", "import sys; sys.exit(3)")])


def test_results_of_other_hyperparameters_are_of_a_method_that_is_not_here():
    register(recipe())
    setting = Setting("mine", (("k", 5), ("tau", 2)))
    assert not setting.is_known
    assert setting.same_as == ""
    assert setting.origins == []
    assert "tau=2" in setting.column()
