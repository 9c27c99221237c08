"""The turns of the laptop protocol, as demonstrations and the scripted agent word them."""


def search_text(thought: str, query: str) -> str:
    """A turn that searches."""
    return f"<think> {thought} </think> <search> {query} </search>"


def answer_text(thought: str, answer: str) -> str:
    """A turn that answers."""
    return f"<think> {thought} </think> <answer> {answer} </answer>"


def first_thought(role: str) -> str:
    """The thought before anything is known."""
    return f"find the {role}"
