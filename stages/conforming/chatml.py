"""ChatML, in whose marks the public agent's conversations are logged: whose words are whose."""

from __future__ import annotations

START = "<|im_start|>"
SYSTEM, USER = f"{START}system\n", f"{START}user\n"
REPLY, END = f"{START}assistant\n", "<|im_end|>"


def user_text(prompt: str) -> str:
    """What the user says in a prompt: its last message in ChatML's marks, else all of it."""
    _, mark, said = prompt.rpartition(USER)
    return said.partition(END)[0] if mark else prompt


def system_text(prompt: str) -> str | None:
    """The system message of a prompt in ChatML's marks. None if it has none."""
    _, mark, said = prompt.partition(SYSTEM)
    return said.partition(END)[0] if mark else None


def told_system(system: str | None) -> str:
    """A system message, or that there is none, as a sentence shows it."""
    return "no system message" if system is None else f"the system message {system!r}"


def is_chat(prompt: str) -> bool:
    """Whether a prompt stands in ChatML's marks."""
    return USER in prompt


def in_chatml(said: str, system: str | None) -> str:
    """The prompt in which a user says one thing, as the chat template of Qwen2.5 writes it."""
    before = "" if system is None else f"{SYSTEM}{system}{END}\n"
    return f"{before}{USER}{said}{END}\n{REPLY}"


def is_one_message(prompt: str) -> bool:
    """Whether a prompt is one message of a user, after a system message perhaps, and no more."""
    return prompt == in_chatml(user_text(prompt), system_text(prompt))
