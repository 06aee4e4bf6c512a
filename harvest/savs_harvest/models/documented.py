"""Prompts of families that were published without a chat template: as their documentation asks, written as one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Documented:
    """How a family is asked: `{pictures}` stands for a `picture` each, `{question}` for the words.

    `answer` is how an answered question goes on, and `closing` what stands between it and the next one.
    """

    prompt: str
    picture: str = ""
    answer: str = " {answer}"
    closing: str = "\n"

    @property
    def template(self) -> str:
        """The prompt as a chat template."""
        shown = "{% for part in message['content'] if part['type'] == 'image' %}" + self.picture + "{% endfor %}"
        words = "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
        asked = self.prompt.replace("{pictures}", shown).replace("{question}", words)
        answered = self.answer.replace("{answer}", words) + self.closing
        # Templates lose a line break behind a block.
        asked, answered = (text.replace("\n", "{{ '\\n' }}") for text in (asked, answered))
        turn = "{% if message['role'] == 'assistant' %}" + answered + "{% else %}" + asked + "{% endif %}"
        return "{% for message in messages %}" + turn + "{% endfor %}"

    @property
    def remark(self) -> str:
        """What a user is told."""
        shown = self.prompt.replace("{pictures}", self.picture and f"{self.picture}...")
        return f"it has no chat template: a prompt is {shown!r}, as its family's documentation has it"


# By model type. Where no picture is written, the family's processor puts its places in front by itself.
DOCUMENTED = {
    "blip-2": Documented("Question: {question} Answer:"),
    "chameleon": Documented("{question}{pictures}", "<image>", "{answer}"),
    "fuyu": Documented("{question}\n", answer="{answer}"),
    "instructblip": Documented("{question}"),
    "kosmos-2": Documented("<grounding> Question: {question} Answer:"),
    "paligemma": Documented("{pictures}answer en {question}", "<image>", "{answer}"),
    "video_llava": Documented("USER: {pictures}\n{question} ASSISTANT:", "<image>"),
}
