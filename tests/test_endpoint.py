"""A model behind an OpenAI-compatible endpoint: a real server that serves a real, tiny model."""

import pytest
from judge_server import Served, serving
from rollout_models import make_model, make_tokenizer, save

from stages.common.models import write_reference
from stages.engines import endpoint_generator
from stages.engines.cut import Cut
from stages.engines.endpoint_generator import EndpointGenerator
from stages.engines.generator import TransformersGenerator
from stages.plumbing.errors import InputError

TEXTS = ["Question: who directed film Alpha?\n", "Ana", "x", "Bo works as of in city film film"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tokenizer = make_tokenizer()
    path = tmp_path_factory.mktemp("models") / "judge"
    return save(make_model("qwen2", tokenizer), tokenizer, path)


@pytest.fixture(scope="module")
def here(folder):
    return TransformersGenerator(folder)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(endpoint_generator, "PAUSE", 0.01)
    monkeypatch.delenv(endpoint_generator.API_KEY, raising=False)


def prompts(here):
    return [*map(here.tokenizer.encode, TEXTS), [5] * (here.window - 2), [5] * here.window]


def test_replies_are_those_of_the_same_model_here(folder, here):
    served = Served(folder, "judge")
    with serving(served) as url:
        there = EndpointGenerator(folder, url, concurrency=3)
        assert there.window == here.window
        for options in (
            {"stop": [], "max_new_tokens": 12},
            {"stop": [" film", "a"], "max_new_tokens": 24},
            {"stop": ["e"], "max_new_tokens": 24, "temperature": 1.0, "keys": [*range(7, 13)]},
        ):
            expected = here.generate(prompts(here), **options)
            served.requests.clear()
            assert there.generate(prompts(here) * 2, **options | _twice(options)) == expected * 2
            assert len(served.requests) == len(TEXTS) + 1, "equal prompts are sent once"
            assert len(expected[-2]) <= 2 and expected[-1] == []


def _twice(options: dict) -> dict:
    return {"keys": options["keys"] * 2} if "keys" in options else {}


def test_a_server_that_returns_text_alone_gives_the_same_text(folder, here):
    with serving(Served(folder, "judge", plain=True)) as url:
        there = EndpointGenerator(folder, f"{url}/v1/")
        decode = here.tokenizer.decode
        options = {"stop": ["who"], "max_new_tokens": 24}
        expected = [decode(ids) for ids in here.generate(prompts(here), **options)]
        written = [decode(ids) for ids in there.generate(prompts(here), **options)]
    assert written == [text.partition("who")[0] for text in expected] != expected


def test_what_a_server_cut_is_told(folder, here):
    options = {"stop": [], "max_new_tokens": 1}
    with serving(Served(folder, "judge", plain=True)) as url:
        told = EndpointGenerator(folder, url).generate(prompts(here), **options)
    full = [len(ids) == 1 for ids in here.generate(prompts(here), **options)]
    assert [isinstance(ids, Cut) for ids in told] == full and any(full)


def test_a_server_that_comes_back_is_waited_for(folder, here):
    served = Served(folder, "judge", failing=3)
    with serving(served) as url:
        there = EndpointGenerator(folder, url)
        served.failing = 5
        options = {"stop": [], "max_new_tokens": 3}
        assert there.generate(prompts(here), **options) == here.generate(prompts(here), **options)
        assert served.failing == 0


def test_a_server_that_stays_away_is_one_clear_line(folder, here, monkeypatch):
    monkeypatch.setattr(endpoint_generator, "TRIES", 3)
    served = Served(folder, "judge")
    with serving(served) as url:
        there = EndpointGenerator(folder, url)
        served.failing = 99
        with pytest.raises(InputError, match=rf"^{url}/v1: no answer after 3 tries .status 503"):
            there.generate(prompts(here), stop=[], max_new_tokens=3)
    with pytest.raises(InputError, match=rf"^{url}/v1: no answer after 3 tries"):
        there.generate(prompts(here), stop=[], max_new_tokens=3)
    with pytest.raises(InputError, match=rf"^{url}/v1: no answer after 3 tries"):
        EndpointGenerator(folder, url)


def test_the_key_comes_from_the_environment(folder, here, monkeypatch):
    with serving(Served(folder, "judge", api_key="secret")) as url:
        with pytest.raises(InputError, match="status 401"):
            EndpointGenerator(folder, url)
        monkeypatch.setenv(endpoint_generator.API_KEY, "secret")
        assert EndpointGenerator(folder, url).generate([[5]], stop=[], max_new_tokens=2)


def test_the_endpoint_must_serve_the_judge(folder, tmp_path):
    reference = tmp_path / "referred"
    write_reference(reference, str(folder), None)
    with serving(Served(folder, str(folder))) as url:
        assert EndpointGenerator(reference, url).generate([[5]], stop=[], max_new_tokens=2)
    with (
        serving(Served(folder, "another")) as url,
        pytest.raises(InputError, match=r"does not serve .* or judge; it serves: another"),
    ):
        EndpointGenerator(folder, url)
