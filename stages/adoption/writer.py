"""Write a search as an agent of the given protocol writes it."""

from __future__ import annotations

import json
import re

from stages import params
from stages.rollout.protocol import AgentProtocol
from stages.rollout.tool_calls import ARGUMENT, NAME


class Writer:
    """Writes searches in the form that `protocol`, made from `block`, reads.

    A form that cannot be told from its pattern writes nothing that is read: `search` gives None.
    """

    def __init__(self, protocol: AgentProtocol, block: params.Protocol):
        self._protocol = protocol
        self._tool = block.tool is not None
        opening, _, rest = block.search_pattern.partition("(")
        self._opening = re.sub(r"\\(\W)", r"\1", opening)
        self._closing = re.sub(r"\\(\W)", r"\1", rest.rpartition(")")[2])

    def search(self, words: str, query: str) -> str | None:
        """`words` of the agent and its search. None where the protocol would not read `query`."""
        value = f" {query} "
        if self._tool:
            call = {"name": NAME, "arguments": {ARGUMENT: query}}
            value = f"\n{json.dumps(call, ensure_ascii=False)}\n"
        between = "\n" if words and not words[-1].isspace() else ""
        text = f"{words}{between}{self._opening}{value}{self._closing}"
        action = self._protocol.parse(text)
        return text if (action.kind, action.value) == ("search", query.strip()) else None
