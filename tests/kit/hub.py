"""Tokenizers and chat templates as they lie on the hub, over the words that the tests use."""

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from kit.families import build_model, build_processor
from savs_harvest.models.tiny.corpus import vocabulary

# Of llava-hf/llava-1.5-7b-hf: it writes no <s>, the tokenizer does.
LLAVA = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{# Render all images first #}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}{# Render all text next #}{% if message['role'] != 'assistant' %}{% for content in "
    "message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}{% endfor %}{% else %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{% generation %}{{ content['text'] "
    "+ ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}"
    "{% endif %}"
)
# Of HuggingFaceM4/Idefics3-8B-Llama3: an answer begins with a space behind "Assistant:".
IDEFICS = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'][0]['type'] == "
    "'image' %}{{':'}}{% else %}{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}"
    "{{line['text']}}{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
# Of Qwen/Qwen3 models that think: an answered turn has a block that no turn begins with.
THINKING = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% if message.role == 'assistant' %}<think>\n\n"
    "</think>\n\n{% endif %}{% for part in message.content %}{% if part.type == 'image' %}<image>{% else %}"
    "{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}"
    "<|im_start|>assistant\n{% endif %}"
)
WORDS = [word for word in vocabulary() if word.isalpha()]


def llama_tokenizer(bos=True, eos=False):
    """Return a tokenizer as LLaMA's: every word has a sign in front, `<s>` is added to whatever is read.

    Two signs are joined first, so that a word behind two spaces is cut into other pieces than behind one.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=3000,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=[*map(chr, range(33, 127)), "\n", "▁"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([*["  "] * 1000, *[*WORDS, "ASS", "ISTANT:"] * 3], trainer)
    single = f"{'<s> ' if bos else ''}$A{' </s>' if eos else ''}"
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 1), ("</s>", 2)])
    named = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>"}
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, add_bos_token=bos, add_eos_token=eos, **named)
    made.add_tokens([AddedToken("<image>", normalized=False, special=True)], special_tokens=True)
    return made


def byte_tokenizer(*special):
    """Return a tokenizer as GPT-2's: a space belongs to the word behind it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    words = [*WORDS, "Yes", "No", "Assistant", "User", "assistant", "user"]
    trainer = trainers.BpeTrainer(
        vocab_size=3000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([text for word in words for text in (word, f" {word}")] * 3, trainer)
    named = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)
    made.add_tokens([AddedToken(word, normalized=False, special=True) for word in special], special_tokens=True)
    return made


def save_as_on_hub(family, folder, tokenizer, template):
    """Write a checkpoint of a family that reads with another tokenizer, and its chat template."""
    model, processor = build_model(family, len(tokenizer)), build_processor(family)
    place = tokenizer.convert_tokens_to_ids("<image>")
    for name in ("image_token_id", "image_token_index"):
        if hasattr(model.config, name):
            setattr(model.config, name, place)
    processor.tokenizer, processor.chat_template = tokenizer, template
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
