"""A language model behind an OpenAI-compatible endpoint (`vllm serve` or another) as a generator.

Prompts are sent as token ids to /v1/completions, many at once. Greedy replies are the model's, as
its server computes them; a sample is the server's own, seeded with the key.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from stages.common.models import REFERENCE
from stages.common.records import read_json
from stages.engines.cut import Cut
from stages.engines.description import describe_model
from stages.engines.replies import Item, before_end, distinct, through_stop
from stages.engines.tokenizer import encode_text
from stages.plumbing.addresses import shown
from stages.plumbing.errors import InputError

TRIES = 7
PAUSE = 1.0  # seconds after the first failure; each later pause is twice as long: a minute in all
TIMEOUT = httpx.Timeout(600.0, connect=10.0)  # seconds
API_KEY = "OPENAI_API_KEY"  # the environment variable


class EndpointGenerator:
    """The model of `folder` as `url` (http://host:port or .../v1) serves it.

    The folder gives tokenizer and window. `concurrency` requests are under way at a time; a server
    that is gone, or answers 5xx, is asked again with growing pauses. InputError if it stays away,
    refuses a request, or serves no model of the folder's name or of the id that the folder stands
    for.
    """

    def __init__(self, folder: str | Path, url: str, *, concurrency: int = 64):
        about = describe_model(folder)
        self.tokenizer, self._ends = about.tokenizer, about.ends
        self._url = url.rstrip("/").removesuffix("/v1") + "/v1"
        self._shown = shown(self._url)
        self._concurrency = concurrency
        key = os.environ.get(API_KEY)
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=TIMEOUT,
            limits=httpx.Limits(max_connections=concurrency),
        )
        served = self._served(_names(Path(folder)))
        self._model = served["id"]
        self.window = min(about.window, served.get("max_model_len") or about.window)

    def generate(
        self,
        prompts: Sequence[list[int]],
        *,
        stop: Sequence[str],
        max_new_tokens: int,
        temperature: float = 0.0,
        keys: Sequence[int] | None = None,
    ) -> list[list[int]]:
        """See Generator. Equal prompts (with equal keys) are sent once. Where the server returns
        text alone, the ids are those of the text; where it says that it cut it, they are a Cut."""
        items, todo = distinct(prompts, keys, temperature, self.window)

        def write(item: Item) -> list[int]:
            return self._write(item, list(stop), max_new_tokens, temperature)

        with ThreadPoolExecutor(self._concurrency) as threads:
            done = dict(zip(todo, threads.map(write, todo), strict=True))
        return [type(ids)(ids) for ids in (done.get(item, []) for item in items)]

    def _write(self, item: Item, stop: list[str], max_new_tokens: int, temperature: float):
        prompt, key = item
        body = {
            "model": self._model,
            "prompt": list(prompt),
            "max_tokens": min(max_new_tokens, self.window - len(prompt)),
            "temperature": temperature,
            "seed": key,
            "stop": stop or None,
            # Beyond OpenAI's fields, for servers that have them: the reply as it was written.
            "include_stop_str_in_output": True,
            "skip_special_tokens": False,
            "return_token_ids": True,
        }
        try:
            choice = self._ask("POST", "/completions", body)["choices"][0]
            ids = choice.get("token_ids") or encode_text(choice["text"], self.tokenizer)
        except (KeyError, IndexError, TypeError):
            raise InputError(f"{self._shown}/completions: the answer holds no completion") from None
        ids = through_stop(before_end(ids, self._ends), stop, self.tokenizer)
        return Cut(ids) if choice.get("finish_reason") == "length" else ids

    def _served(self, names: list[str]) -> dict:
        """What the endpoint says of the model."""
        try:
            models = {model["id"]: model for model in self._ask("GET", "/models")["data"]}
        except (KeyError, TypeError):
            raise InputError(f"{self._shown}/models: the answer lists no models") from None
        for name in names:
            if name in models:
                return models[name]
        raise InputError(
            f"{self._shown} does not serve {' or '.join(names)}; it serves: {', '.join(models)}"
        )

    def _ask(self, method: str, path: str, body: dict | None = None) -> dict:
        """The JSON that the endpoint answers, after as many tries as it takes (at most TRIES)."""
        failure = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(PAUSE * 2 ** (attempt - 1))
            try:
                answer = self._client.request(method, self._url + path, json=body)
            except httpx.TransportError as error:
                failure = str(error) or type(error).__name__
                continue
            if answer.status_code < 500 and answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return _content(answer)
            failure = f"status {answer.status_code}"
        raise InputError(f"{self._shown}: no answer after {TRIES} tries ({shown(failure)})")


def _names(folder: Path) -> list[str]:
    """By which a server may list the model: the id that the folder stands for, or the folder."""
    names = [str(folder), folder.name]
    if (folder / REFERENCE).exists():
        names.insert(0, read_json(folder / REFERENCE)["model"])
    return list(dict.fromkeys(names))


def _content(answer: httpx.Response) -> dict:
    address = shown(str(answer.url))
    if answer.is_error:
        reason = " ".join(answer.text.split())[:300]
        raise InputError(f"{address}: status {answer.status_code}: {reason}")
    try:
        return answer.json()
    except ValueError:
        raise InputError(f"{address}: the answer is not JSON") from None
