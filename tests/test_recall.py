from stages.evaluation.recall import first_query_recall, found_share, hop_recall

SUPPORT = [[["a"], ["b", "c"]], [["d"]]]  # a question of two hops, one of one hop
RANKINGS = [[["x", "a"], ["y", "z"], ["c"]], [["d", "e"]]]


def test_a_hop_is_looked_for_in_the_query_of_its_turn():
    assert hop_recall(SUPPORT, RANKINGS, 1) == 1 / 3, "d alone is first"
    assert hop_recall(SUPPORT, RANKINGS, 2) == 2 / 3, "c came with the third query, not the second"


def test_a_turn_without_a_query_is_a_miss():
    assert hop_recall([[["a"], ["b"]]], [[["a"]]], 5) == 1 / 2
    assert hop_recall([[["a"]]], [[]], 5) == 0


def test_found_looks_at_every_query_and_first_at_one():
    assert found_share(SUPPORT, RANKINGS, 2) == 1
    assert first_query_recall(SUPPORT, RANKINGS, 2) == 2 / 3


def test_without_supporting_passages_there_is_no_recall():
    assert hop_recall([[], []], [[["a"]], []], 3) is None
    assert found_share([[]], [[["a"]]], 3) is None
