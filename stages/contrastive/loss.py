"""The losses of contrastive training (Agentic-R, section 3.3).

InfoNCE over every passage of the batch on every process. A passage that is a known positive of a
query is never its negative, wherever it lies: it can be the positive of a sibling instance, a
negative of another query, or on another process. The loss hides such passages by their numbers,
which travel with the batch. A batch sampler that keeps siblings apart would not do: it sees one
process's batch, and it knows nothing of other queries' candidates.

Two kinds of weights may travel with them. W of a negative counts it W times for its own query, and
once for the others': log W is added to its logit (the tiers of ITER, arXiv 2608.27912). The weight
of an instance multiplies its term (LRAT, arXiv 2604.04949).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import all_gather, all_gather_with_grad, cos_sim, get_rank
from torch import Tensor

from stages.contrastive.numbers import NONE


class InstanceLoss(MultipleNegativesRankingLoss):
    """InfoNCE in which no known positive of a query counts as its negative.

    `labels` has one row of passage numbers an instance: the query's positives, filled up with NONE,
    then the passages in the order of the columns, (batch, positives + columns). A passage of the
    number NONE fills up the negatives: it is encoded, and no query sees it. With `weighted`, as
    many weights follow (see `as_numbers`): the instance's, then those of its negatives.
    """

    def __init__(self, model, temperature: float, weighted: bool = False):
        gather = torch.distributed.is_initialized()
        super().__init__(model, scale=1 / temperature, gather_across_devices=gather)
        self.weighted = weighted

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The loss of this process's queries, in float32. embeddings: anchor, positive, negatives.

        In half precision a temperature of 0.01 would turn rounded cosines into other logits.
        """
        embeddings = [vectors.float() for vectors in embeddings]
        with torch.autocast(embeddings[0].device.type, enabled=False):
            return self._loss(embeddings, labels)

    def _loss(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        queries, *passages = embeddings
        gather, columns, weights = self.gather_across_devices, len(passages), None
        if self.weighted:
            labels, weights = labels[:, :-columns], as_weights(labels[:, -columns:])
        numbers = labels[:, -columns:]
        if gather:
            numbers, passages = all_gather(numbers), [all_gather_with_grad(v) for v in passages]
        offset = get_rank() * len(labels) if gather else 0
        hidden = false_negatives(labels[:, :-columns], numbers, offset)
        logits = cos_sim(queries, torch.cat(passages)).masked_fill(hidden, -torch.inf) * self.scale
        if weights is not None:
            logits = logits + own_logarithms(weights[:, 1:], len(numbers), offset)
        own = torch.arange(len(labels), device=logits.device)
        terms = -(logits[own, offset + own] - torch.logsumexp(logits, dim=1))  # (batch,)
        return (terms if weights is None else terms * weights[:, 0]).mean()


class CachedInstanceLoss(CachedLossMixin, InstanceLoss):
    """InstanceLoss by the gradient cache: a batch of any size in the memory of a few texts.

    Texts are encoded without gradients, the loss gives the gradient of each vector, and the texts
    are encoded once more, a few at a time, to carry it on to the weights (arXiv 2101.06983).
    """

    def __init__(self, model, temperature: float, texts: int, weighted: bool = False):
        """`texts`: in a forward pass, at most."""
        super().__init__(model, temperature, weighted)
        self.mini_batch_size = texts

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        return self.forward_cached(sentence_features, labels)

    def calculate_loss(self, reps, labels=None, *, with_backward=False) -> Tensor:
        """The loss of vectors that come in parts, one list a column."""
        loss = self.compute_loss_from_embeddings([torch.cat(parts) for parts in reps], labels)
        if with_backward:
            loss.backward()
        return loss.detach() if with_backward else loss


def instance_loss(
    model, temperature: float, cached_batch: int | None, weighted: bool = False
) -> InstanceLoss:
    """The loss of instances; `cached_batch`: by the gradient cache, so many texts at a time."""
    if cached_batch is None:
        return InstanceLoss(model, temperature, weighted)
    return CachedInstanceLoss(model, temperature, cached_batch, weighted)


def false_negatives(positives: Tensor, passages: Tensor, offset: int) -> Tensor:
    """Which passages a query must not be pushed away from, (batch, columns * world * batch).

    positives: (batch, most positives) numbers of each query's positives, the instance's own
    included; passages: (world * batch, columns), those of all instances, the positive first, and
    NONE where there is none, which is hidden too; offset: the row of `passages` that belongs to the
    first query. The result's second axis runs over the first column of all instances, then the
    second, as the loss lays them out.
    """
    flat = passages.T.reshape(-1)
    hidden = (flat[None, :, None] == positives[:, None, :]).any(dim=-1) | (flat == NONE)
    own = torch.arange(len(positives), device=hidden.device)
    hidden[own, offset + own] = False
    return hidden


def own_logarithms(weights: Tensor, everyone: int, offset: int) -> Tensor:
    """log W at a query's own negatives and 0 elsewhere, laid out as in `false_negatives`.

    weights: (batch, columns - 1), of the negatives; everyone: world * batch.
    """
    batch, negatives = weights.shape
    laid = weights.new_zeros(batch, 1 + negatives, everyone)
    own = torch.arange(batch, device=weights.device)
    laid[own, 1:, offset + own] = weights.log()
    return laid.flatten(1)


def as_weights(numbers: Tensor) -> Tensor:
    """The weights that `as_numbers` made whole numbers."""
    return numbers.to(torch.int32).view(torch.float32)


def symmetric_loss(model, temperature: float) -> MultipleNegativesRankingLoss:
    """InfoNCE over the pairs of a batch, from query to passage and back, averaged."""
    return MultipleNegativesRankingLoss(
        model,
        scale=1 / temperature,
        directions=("query_to_doc", "doc_to_query"),
        partition_mode="per_direction",
    )
