"""A configuration made tiny by rules: what a size is called, and whether it is of words, says what it becomes."""

import re
from copy import deepcopy

# Of a part, in order: what a size is called, and what it becomes. The first that matches counts.
WORDS_SIZES = (
    (r"(moe|expert|shared_expert|moe_shared_expert|share_expert)_(intermediate_size|dim)", 16),
    (r"(\w+_)?intermediate_size(_mlp)?|(en|de)?coder_ffn_dim|ffn_dim|d_ff|ffn_hidden_size", 48),
    (r"hidden_size|d_model|n_embd|word_embed_proj_dim|embed_dim|dim|hidden_dim", 32),
    (r"num_hidden_layers|num_layers|n_layer|(en|de)coder_layers|num_decoder_layers|layers", 2),
    (r"num_attention_heads|attention_heads|num_heads|n_head|(en|de)coder_attention_heads", 4),
    (r"num_key_value_heads|swa_num_key_value_heads", 2),
    (r"swa_num_attention_heads", 2),
    (r"(\w+_)?head_dim|qk_nope_head_dim|d_kv", 16),
    (r"qk_rope_head_dim|index_head_dim", 8),
    (r"[qkvo]\w*_lora_rank", 16),
    (r"linear_(key|value)_head_dim", 8),
    (r"linear_num_(key|value)_heads", 2),
    (r"num_experts|n_routed_experts|num_local_experts|moe_num_experts|num_routed_experts", 4),
    (r"num_experts_per_tok|moe_k|moe_topk|moe_top_k|top_k_experts|num_experts_per_token", 2),
    (r"n_group|num_expert_group|topk_group", 1),
    (r"first_k_dense_replace|num_dense_layers|n_shared_experts|num_shared_experts|moe_num_shared_experts", 1),
    (r"sliding_window(_size)?|attention_chunk_size", 8),
    (r"max_position_embeddings|n_positions|max_sequence_length", 2048),
)
PICTURES_SIZES = (
    (r"(\w+_)?intermediate_size|mlp_dim|ffn_dim|hidden_dim", 32),
    (r"hidden_size|embed_dim|width|d_model|dim|hidden_channels", 16),
    (r"num_hidden_layers|num_layers|depth|layers|num_encoder_layers|(en|de)coder_layers", 2),
    (r"num_attention_heads|num_heads|attention_heads|heads|num_key_value_heads|(en|de)coder_attention_heads", 2),
    (r"image_size|input_image_size", 16),
    (r"patch_size", 4),
    (r"head_dim", 8),
    (r"out_hidden_size|text_hidden_size|lm_hidden_size|output_dim|projection_dim|text_dim|llm_hidden_size", 32),
    (r"num_experts|num_local_experts", 2),
    (r"num_position_embeddings", 16),
)
NOT_WORDS = re.compile(r"vision|image|visual|audio|qformer|perceiver|vq|vit|speech|sam|encoder_config|detector")
SECTIONS = ("mrope_section", "xdrope_section")


def shrunk(configuration, words=True):
    """Return a configuration, as `to_dict` gives it, with all sizes tiny that rules know, also in its parts."""
    small = {}
    for name, value in configuration.items():
        if is_part(name, value):
            small[name] = shrunk(value, words and not NOT_WORDS.search(name))
        elif isinstance(value, int) and not isinstance(value, bool) and value > 1:
            small[name] = _size(name, value, WORDS_SIZES if words else PICTURES_SIZES)
        else:
            small[name] = deepcopy(value)
    _cut_layers(configuration, small)
    if words:
        _cut_sections(small)
    return small


def is_part(name, value):
    """Tell whether a value of a configuration is the configuration of a part."""
    return isinstance(value, dict) and (name.endswith(("_config", "_cfg")) or "model_type" in value)


def merged(configuration, changes):
    """Return a configuration with changes, of its parts as well."""
    result = dict(configuration)
    for name, value in changes.items():
        before = result.get(name)
        deeper = isinstance(value, dict) and is_part(name, before)
        result[name] = merged(before, value) if deeper else value
    return result


def _size(name, value, sizes):
    return next((min(value, size) for pattern, size in sizes if re.fullmatch(pattern, name)), value)


def _cut_layers(configuration, small):
    """Cut lists with an entry a layer: each kind of layers stays, twice."""
    layers = configuration.get("num_hidden_layers")
    lists = {
        name: value
        for name, value in configuration.items()
        if layers and isinstance(value, list) and len(value) == layers and layers > 2
    }
    if not lists:
        return
    if all(len(set(_hashable(values))) == len(values) for values in lists.values()):
        return
    kinds = list(dict.fromkeys(zip(*map(_hashable, lists.values()), strict=True)))[:3] * 2
    small["num_hidden_layers"] = max(len(kinds), 2)
    for number, name in enumerate(lists):
        small[name] = [kind[number] for kind in kinds]


def _hashable(values):
    return [tuple(value) if isinstance(value, list) else value for value in values]


def _cut_sections(small):
    """Let the sections of rotary positions fill half a head again."""
    heads, width = small.get("num_attention_heads"), small.get("hidden_size")
    if not heads or not width:
        return
    head_dim = small.get("head_dim") or width // heads
    for parameters in (small.get("rope_parameters"), small.get("rope_scaling")):
        for inner in (parameters, *parameters.values()) if isinstance(parameters, dict) else ():
            if isinstance(inner, dict):
                half = int(head_dim * (inner.get("partial_rotary_factor") or 1)) // 2
                for name in set(SECTIONS) & set(inner):
                    inner[name] = _sections(half, len(inner[name]))


def _sections(half, parts):
    each = half // (parts + 1) if parts == 3 else half // parts
    return [half - each * (parts - 1), *[each] * (parts - 1)]
