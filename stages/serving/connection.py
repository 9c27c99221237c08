"""A connection that a slow client cannot hold for ever.

uvicorn closes idle connections, but has no deadline for the rest of a request that has begun, nor
for an answer to be taken, and reads on while a client that sends the next request is still waiting
for an answer. So its class, which is not meant for it, is extended here until uvicorn can do this
itself: a request must arrive within `limits.REQUEST` seconds, else the client gets 408; an answer
that is not taken within `limits.ANSWER` seconds is dropped with its connection, and so is a client
that sends more than `limits.EARLY` bytes of further requests before it is answered.
"""

from __future__ import annotations

import asyncio
import json

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from stages.serving import limits

OWING = (h11.IDLE, h11.SEND_BODY)  # states of a client that has not sent its whole request
LATE = {"detail": "the request did not arrive in time"}


class Connection(H11Protocol):
    """uvicorn's connection with two deadlines, and a bound of what comes early."""

    _request: asyncio.TimerHandle | None = None
    _answer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._watch_request()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._request = _cancelled(self._request)
        self._answer = _cancelled(self._answer)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        answering = self.conn.their_state in (h11.DONE, h11.MUST_CLOSE)
        if answering and len(self.conn.trailing_data[0]) > limits.EARLY:
            self.transport.abort()

    def handle_events(self) -> None:
        """Called whenever something has arrived, or the next request's turn has come."""
        super().handle_events()
        self._watch_request()

    def send_400_response(self, msg: str) -> None:
        """uvicorn's, but for a client whose request went wrong after it was answered."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: Java's client offers HTTP/2 with every first request, and takes HTTP/1."""

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_answer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._answer = _cancelled(self._answer)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_answer()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch_answer()

    def _watch_request(self) -> None:
        if self.conn.their_state not in OWING:
            self._request = _cancelled(self._request)
        elif self._request is None:
            self._request = self.loop.call_later(limits.REQUEST, self._late)

    def _watch_answer(self) -> None:
        if self._answer is None:
            self._answer = self.loop.call_later(limits.ANSWER, self.transport.abort)

    def _late(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
            answer = h11.Response(status_code=408, headers=headers, reason=b"Request Timeout")
            for event in (answer, h11.Data(data=json.dumps(LATE).encode()), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event))
        self.transport.close()
        self._watch_answer()


def _cancelled(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
