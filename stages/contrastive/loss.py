"""The losses of contrastive training (Agentic-R, section 3.3).

InfoNCE over every passage of the batch on every process. A passage that is a known positive of a
query is never its negative, wherever it lies: it can be the positive of a sibling instance, a
negative of another query, or on another process. The loss hides such passages by their numbers,
which travel with the batch. A batch sampler that keeps siblings apart would not do: it sees one
process's batch, and it knows nothing of other queries' candidates.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import all_gather, cos_sim, get_rank
from torch import Tensor


class InstanceLoss(MultipleNegativesRankingLoss):
    """InfoNCE in which no known positive of a query counts as its negative.

    `labels` has one row of passage numbers an instance: the query's positives (filled up with
    NONE, see rows.py), then the passages in the order of the columns, (batch, positives + columns).
    """

    def __init__(self, model, temperature: float):
        gather = torch.distributed.is_initialized()
        super().__init__(model, scale=1 / temperature, gather_across_devices=gather)

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The loss of this process's queries, in float32. embeddings: anchor, positive, negatives.

        In half precision a temperature of 0.01 would turn rounded cosines into other logits.
        """
        embeddings = [vectors.float() for vectors in embeddings]
        with torch.autocast(embeddings[0].device.type, enabled=False):
            return self._loss(embeddings, labels)

    def _loss(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        columns = len(embeddings) - 1
        everyone = all_gather(labels) if self.gather_across_devices else labels
        offset = get_rank() * len(labels) if self.gather_across_devices else 0
        hidden = false_negatives(labels[:, :-columns], everyone[:, -columns:], offset)
        self.similarity_fct = lambda q, p: cos_sim(q, p).masked_fill(hidden, -torch.inf)
        return super().compute_loss_from_embeddings(embeddings, labels)


class CachedInstanceLoss(CachedLossMixin, InstanceLoss):
    """InstanceLoss by the gradient cache: a batch of any size in the memory of a few texts.

    Texts are encoded without gradients, the loss gives the gradient of each vector, and the texts
    are encoded once more, a few at a time, to carry it on to the weights (arXiv 2101.06983).
    """

    def __init__(self, model, temperature: float, texts: int):
        """`texts`: in a forward pass, at most."""
        super().__init__(model, temperature)
        self.mini_batch_size = texts

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        return self.forward_cached(sentence_features, labels)

    def calculate_loss(self, reps, labels=None, *, with_backward=False) -> Tensor:
        """The loss of vectors that come in parts, one list a column."""
        loss = self.compute_loss_from_embeddings([torch.cat(parts) for parts in reps], labels)
        if with_backward:
            loss.backward()
        return loss.detach() if with_backward else loss


def instance_loss(model, temperature: float, cached_batch: int | None) -> InstanceLoss:
    """The loss of instances; `cached_batch`: by the gradient cache, so many texts at a time."""
    if cached_batch is None:
        return InstanceLoss(model, temperature)
    return CachedInstanceLoss(model, temperature, cached_batch)


def false_negatives(positives: Tensor, passages: Tensor, offset: int) -> Tensor:
    """Which passages a query must not be pushed away from, (batch, columns * world * batch).

    positives: (batch, most positives) numbers of each query's positives, the instance's own
    included; passages: (world * batch, columns), those of all instances, the positive first;
    offset: the row of `passages` that belongs to the first query. The result's second axis runs
    over the first column of all instances, then the second, as the loss lays them out.
    """
    flat = passages.T.reshape(-1)
    hidden = (flat[None, :, None] == positives[:, None, :]).any(dim=-1)
    own = torch.arange(len(positives), device=hidden.device)
    hidden[own, offset + own] = False
    return hidden


def symmetric_loss(model, temperature: float) -> MultipleNegativesRankingLoss:
    """InfoNCE over the pairs of a batch, from query to passage and back, averaged."""
    return MultipleNegativesRankingLoss(
        model,
        scale=1 / temperature,
        directions=("query_to_doc", "doc_to_query"),
        partition_mode="per_direction",
    )
