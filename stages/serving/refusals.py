"""How a request is refused: a status, and one line that says why."""

from __future__ import annotations

from starlette.responses import JSONResponse


class Refused(Exception):
    """A request that is not served: status and reason."""

    def __init__(self, status: int, reason: str):
        self.status, self.reason = status, " ".join(reason.split())

    def answer(self) -> JSONResponse:
        """The answer to the client: the reason in `detail`."""
        return JSONResponse({"detail": self.reason}, self.status)
