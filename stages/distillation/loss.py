"""The loss of REPLUG's training (arXiv 2301.12652, LSR), and the rows it reads."""

from __future__ import annotations

from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor

from stages.encoders.query_format import QueryFormat


class LikelihoodLoss(DistillKLDivLoss):
    """KL(target || retriever), in nats a question, over the passages of each question.

    target: softmax of the answer's log-likelihoods over their temperature; retriever: softmax of
    the cosines over theirs. The library scales its loss by the square of the retriever's
    temperature, for temperatures above 1; here that would shrink it a thousandfold.
    """

    def __init__(self, model, temperature: float, likelihood_temperature: float):
        super().__init__(
            model,
            similarity_fct=pairwise_cos_sim,
            student_temperature=temperature,
            teacher_temperature=likelihood_temperature,
        )

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """embeddings: anchor, then the passages in the order of `labels` (batch, passages)."""
        loss = super().compute_loss_from_embeddings(embeddings, labels)
        return loss / self.student_temperature**2


def likelihood_columns(rows: list[dict], query_format: QueryFormat) -> dict[str, list]:
    """Labelled rows as columns: anchor, passage_1, ..., label (the likelihoods)."""
    texts = zip(*(row["passages"] for row in rows), strict=True)
    return {
        "anchor": [query_format.query_prompt + row["question"] for row in rows],
        **{
            f"passage_{rank}": [query_format.passage_prompt + text for text in column]
            for rank, column in enumerate(texts, 1)
        },
        "label": [row["likelihoods"] for row in rows],
    }
