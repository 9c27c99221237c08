"""Check before a run what its stages would refuse: files, numbers of questions, shares of work.

stages/params has the rules that need nothing but the parameters.
"""

from __future__ import annotations

from stages.params import WORLD, Params, RelevanceMode, Trainer, VisitSource, check_weights


def check_run(params: Params) -> None:
    """InputError if a run with `params` would end at one of its stages.

    Corpora and questions that are not here yet are left to the stages.
    """
    from stages.rollout.protocol import AgentProtocol, read_protocol
    from stages.rollout.visit_calls import check_taught, with_visit_tool

    with_visit_tool(AgentProtocol(params.protocol))
    for name in ("agent", "evaluate"):
        if (own := getattr(params, name).protocol) is not None:
            with_visit_tool(AgentProtocol(own, key=f"{name}.protocol"))
    for guest in params.guest.values():
        check_taught(with_visit_tool(read_protocol(guest.protocol)), guest.model)
    if params.iterations:
        _check_iterations(params)
    _check_data(params)


def _check_iterations(params: Params) -> None:
    from stages.judge.judging import JudgePrompts
    from stages.verl_ppo.config import check_sharing
    from stages.visiting.judged import load_prompt

    check_weights(params)
    if params.relevance.mode is not RelevanceMode.off:
        JudgePrompts.load(params.relevance)
    if params.visits.source is VisitSource.judged or params.visits.verify:
        load_prompt(params.visits.prompt)
    if params.agent.trainer is Trainer.verl:
        check_sharing(params)


def _check_data(params: Params) -> None:
    """Of a world, all that the stages corpus and questions do; of files, what their size tells."""
    from stages.params.enough import check_passages, check_questions
    from stages.planning.sizes import sizes
    from stages.sources.description import corpus_files, is_description, pair_file

    for pairs in params.published.values():
        pair_file(pairs.source)
    where, asked = "params.yaml", params.questions
    known = sizes(params)
    exact = not is_description(params.corpus.source)
    if not exact:
        exact = "contexts" not in corpus_files(params.corpus.source)  # those are estimates
    if params.corpus.source == WORLD:
        _check_world(params, where)
    elif known.passages and exact:
        check_passages(params, known.passages, where)
    if asked.source != WORLD and known.training:
        check_questions(params, known.training, where)


def _check_world(params: Params, where: str) -> None:
    from stages.params.enough import check_passages
    from stages.world.questions import (
        questions_for_development,
        questions_for_tests,
        questions_for_training,
    )
    from stages.world.world import SyntheticWorld

    asked = params.questions
    world = SyntheticWorld.make(params.seed, params.corpus.world)
    check_passages(params, len(world.facts), where)
    if asked.source == WORLD:
        questions_for_training(
            world, asked.training, params.seed, asked.development > 0, asked.hops
        )
        questions_for_tests(world, asked.test, params.seed, asked.sets, asked.hops)
        questions_for_development(world, asked.development, params.seed, asked.sets, asked.hops)
