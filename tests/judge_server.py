"""A small OpenAI-compatible server on loopback that answers with the transformers generator."""

import contextlib
import threading
from dataclasses import dataclass, field

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from stages.engines.generator import TransformersGenerator


@dataclass
class Served:
    """The model under `name`. The first `failing` requests get status 503, of which is kept count.

    After `until` requests it is stopping: further ones get 503. `plain`: it knows OpenAI's own
    fields alone, so it returns text, without the stop string.
    """

    folder: object
    name: str
    failing: int = 0
    until: int | None = None
    plain: bool = False
    api_key: str | None = None
    requests: list[dict] = field(default_factory=list)


def application(served: Served) -> FastAPI:
    """/v1/models and /v1/completions."""
    generator, lock = TransformersGenerator(served.folder), threading.Lock()
    app = FastAPI()

    @app.middleware("http")
    async def gate(request: Request, call_next):
        if served.failing:
            served.failing -= 1
            return JSONResponse({"error": "starting"}, 503)
        if served.api_key and request.headers.get("authorization") != f"Bearer {served.api_key}":
            return JSONResponse({"error": "no such key"}, 401)
        return await call_next(request)

    @app.get("/v1/models")
    def models():
        return {"data": [{"id": served.name, "max_model_len": generator.window}]}

    @app.post("/v1/completions")
    def completions(body: dict):
        if body["model"] != served.name:
            raise HTTPException(404, "no such model")
        sampling = {"temperature": body["temperature"], "keys": [body["seed"]]}
        with lock:
            if served.until == len(served.requests):
                raise HTTPException(503, "stopping")
            served.requests.append(body)
            [ids] = generator.generate(
                [body["prompt"]],
                stop=body["stop"] or [],
                max_new_tokens=body["max_tokens"],
                **sampling,
            )
        text = generator.tokenizer.decode(ids)
        if not served.plain:
            return {"choices": [{"text": text, "token_ids": ids}]}
        ends = [text.find(stop) for stop in body["stop"] or [] if stop in text]
        why = "length" if len(ids) == body["max_tokens"] and not ends else "stop"
        text = text[: min(ends, default=len(text))]
        return {"choices": [{"text": text, "finish_reason": why}]}

    return app


@contextlib.contextmanager
def serving(served: Served):
    """The server's address, while it runs in a thread."""
    config = uvicorn.Config(application(served), host="127.0.0.1", port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.05)
        assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
