"""Any family: its layers are found and labelled, and what is stored of a sample is what the sample gives alone."""

import pytest
import torch
from PIL import Image

from kit.alone import SHAPES, check_store, shared_pictures, with_words
from kit.families import FAMILIES, save
from savs_benchmarks import load_jsonl
from savs_harvest.batches.batching import Batching
from savs_harvest.batches.layout_check import load_model, vectors_of
from savs_harvest.errors import ModelError
from savs_harvest.models.families import rules
from savs_harvest.models.prompts import Shot, prepare
from savs_harvest.models.specs import ModelSpec
from savs_harvest.run.harvest import harvest
from savs_harvest.run.settings import Settings
from savs_harvest.run.writing import Keeping
from savs_stores import open_store
from savs_stores.format.schema import HEAD_KINDS

EVERY = pytest.mark.parametrize("any_model", FAMILIES, indirect=True)
# The others run with -m slow.
QUICK = ("qwen2_vl", "llava_onevision", "idefics3", "gemma3")
SOME = pytest.mark.parametrize(
    "any_model",
    [family if family in QUICK else pytest.param(family, marks=pytest.mark.slow) for family in FAMILIES],
    indirect=True,
)


@pytest.fixture(scope="module")
def any_model(request, tmp_path_factory):
    folder = save(request.param, tmp_path_factory.mktemp(request.param))
    return load_model(ModelSpec(request.param.replace("_", "-"), str(folder), "float32"), "cpu")


class CountedTokens:
    """Counts the rows and tokens of every model call while it is open."""

    def __init__(self, model):
        self.model, self.shapes = model, []

    def __enter__(self):
        keep = lambda _module, _args, inputs: self.shapes.append(tuple(inputs["input_ids"].shape))  # noqa: E731
        self.handle = self.model.register_forward_pre_hook(keep, with_kwargs=True)
        return self.shapes

    def __exit__(self, *_):
        self.handle.remove()


@EVERY
def test_every_stored_vector_is_what_the_sample_gives_alone(any_model, write_benchmark, lines, tmp_path):
    lines[7]["question"] = "<image> is it odd ? <|im_end|>"
    benchmark = load_jsonl(write_benchmark(lines))
    harvest(any_model, benchmark, tmp_path / "s.zarr", keeping=Keeping(shard_samples=8))
    check_store(any_model, benchmark, tmp_path / "s.zarr")


@SOME
def test_pictures_that_are_shared_run_once_where_the_family_allows_it(any_model, write_benchmark, lines, tmp_path):
    benchmark = load_jsonl(write_benchmark(shared_pictures(lines)))
    with CountedTokens(any_model.model) as shapes:
        harvest(any_model, benchmark, tmp_path / "s.zarr", Settings(class_prompt=""))  # samples alone are counted
    alone_tokens = check_store(any_model, benchmark, tmp_path / "s.zarr")
    shares = rules(any_model.model.config).shares
    assert sum(rows for rows, _ in shapes) == (4 if shares else 7)
    if shares:
        assert sum(rows * tokens for rows, tokens in shapes) < alone_tokens


@SOME
def test_samples_packed_into_one_row_are_blind_to_each_other(any_model, write_benchmark, lines, tmp_path):
    benchmark = load_jsonl(write_benchmark(lines))
    if not rules(any_model.model.config).shares:
        with pytest.raises(ModelError, match="cannot be packed"):
            harvest(any_model, benchmark, tmp_path / "s.zarr", Settings(pack=True))
        return
    with CountedTokens(any_model.model) as shapes:
        harvest(any_model, benchmark, tmp_path / "s.zarr", Settings(pack=True, class_prompt=""))
    alone_tokens = check_store(any_model, benchmark, tmp_path / "s.zarr")
    assert shapes == [(1, alone_tokens)]  # not one token of padding
    assert "savs" not in any_model.model.config.get_text_config()._attn_implementation


# Its processor takes no prompt without a picture.
WANTS_PICTURES = ("paligemma",)


@EVERY
def test_questions_without_pictures_are_what_they_give_alone(any_model, write_benchmark, lines, tmp_path):
    """Beside samples with pictures, and about the same picture; never in a batch with them."""
    mixed = load_jsonl(write_benchmark(with_words(shared_pictures(lines))))
    if any_model.model.config.model_type in WANTS_PICTURES:
        report = harvest(any_model, mixed, tmp_path / "s.zarr")
        assert report.statuses == {"OK": 7, "REJECTED": 4}
        assert "`images` are expected" in report.failures[0].reason
        return
    harvest(any_model, mixed, tmp_path / "s.zarr", keeping=Keeping(shard_samples=8))
    check_store(any_model, mixed, tmp_path / "s.zarr")


@SOME
def test_questions_without_pictures_are_packed(any_model, write_benchmark, lines, tmp_path):
    if not any_model.family.packs:
        pytest.skip("this family is not packed")
    mixed = load_jsonl(write_benchmark(with_words(lines)))
    with CountedTokens(any_model.model) as shapes:
        harvest(any_model, mixed, tmp_path / "s.zarr", Settings(pack=True, class_prompt=""))
    assert len(shapes) == 2
    assert sum(tokens for _, tokens in shapes) == check_store(any_model, mixed, tmp_path / "s.zarr")


@SOME
def test_questions_without_pictures_may_be_branches_of_one_row(any_model, write_benchmark, lines):
    if not any_model.family.shares:
        pytest.skip("this family shares no beginning")
    asked = [prepare(any_model.processor, [], words) for words in ("is it odd ?", "is it odd or even ?", "is it")]
    alone = torch.cat([vectors_of(any_model, Batching(1), [[[0]]], [each]) for each in asked])
    together = vectors_of(any_model, Batching(1), [[[0, 1, 2]]], asked)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@EVERY
def test_every_layer_is_labelled(any_model, write_benchmark, lines, tmp_path):
    shape = SHAPES[any_model.model.config.model_type]
    assert [(p.layer, p.heads, p.head_dim, p.kind) for p in any_model.projections] == list(shape)
    harvest(any_model, load_jsonl(write_benchmark(lines[:2])), tmp_path / "s.zarr")
    table = open_store(tmp_path / "s.zarr")[any_model.name].heads
    each = [(layer, head, width, kind) for layer, heads, width, kind in shape for head in range(heads)]
    columns = table.layer, table.head_in_layer, table.head_dim, table.kind
    assert [(*place, HEAD_KINDS[kind]) for *place, kind in zip(*(c.tolist() for c in columns), strict=True)] == each
    assert table.dim == max(width for _, _, width, _ in shape)


@SOME
def test_control_tokens_in_the_answer_of_a_shot_are_text(any_model):
    picture = Image.new("RGB", (32, 32))
    processor = any_model.processor

    def placeholders(answer):
        ids = prepare(processor, [picture], "odd ?", [Shot([picture], "odd ?", answer)])["input_ids"][0].tolist()
        return [ids.count(token) for token in processor.tokenizer.convert_tokens_to_ids(["<image>", "<|im_end|>"])]

    assert placeholders("<image> odd <|im_end|>") == placeholders("odd")


@EVERY
def test_the_familys_own_placeholder_in_a_question_costs_no_sample(any_model):
    """Some processors counted it among those of the pictures and refused the sample."""
    picture, processor, config = Image.new("RGB", (32, 32)), any_model.processor, any_model.model.config
    placeholder = getattr(config, "image_token_id", None) or config.image_token_index

    def placeholders(question):
        return prepare(processor, [picture], question)["input_ids"][0].tolist().count(placeholder)

    word = processor.tokenizer.convert_ids_to_tokens(placeholder)
    assert placeholders(f"is it {word} odd ?") == placeholders("is it odd ?") > 0


@EVERY
def test_layers_without_heads_are_named(any_model):
    linear = [[0, "Qwen3_5GatedDeltaNet"], [2, "Qwen3_5GatedDeltaNet"]]
    expected = linear if any_model.model.config.model_type in ("qwen3_5", "minicpmv4_6") else []
    assert any_model.identity["layers_without_heads"] == expected


@EVERY
def test_pictures_are_prepared_by_pillow(any_model):
    assert any_model.identity["image_backend"].endswith("Pil")
