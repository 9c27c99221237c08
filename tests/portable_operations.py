"""Ten operations that show, one by one, whether a processor sums as the others do.

    PYTHONPATH=.:tests python -m portable_operations

prints the SHA-256 of each as JSON. Where a stage's bytes differ (tests/portable_stages.py), these
say where to look: at torch's own kernels, MKL, oneDNN, OpenBLAS, numpy or faiss.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from stages.common import portable
from stages.params import Compute

THREADS = 2


def numbers(*shape: int, seed: int = 0):
    """Numbers from -1 to 1 by integer arithmetic alone: the same anywhere. float32"""
    import numpy as np

    return (2 * np.random.default_rng(seed).random(shape) - 1).astype(np.float32)


def tensor(*shape: int, seed: int = 0, learned: bool = True):
    """The same, as a tensor."""
    import torch

    return torch.from_numpy(numbers(*shape, seed=seed)).requires_grad_(learned)


def with_gradients(output, *inputs) -> list:
    """An output and the gradients of its weighted sum."""
    import torch

    weights = tensor(*output.shape, seed=99, learned=False)
    return [output.detach(), *torch.autograd.grad((output * weights).sum(), inputs)]


def linear() -> list:
    from stages.common.linear import linear

    given = tensor(7, 50, 128), tensor(384, 128, seed=1), tensor(384, seed=2)
    one = tensor(1, 128), tensor(801, 128, seed=1)
    return with_gradients(linear(*given), *given) + with_gradients(linear(*one), *one)


def products() -> list:
    import torch

    a, b = tensor(6, 70, 33), tensor(6, 33, 41, seed=1)
    flat = tensor(200, 128), tensor(128, 96, seed=1)
    return with_gradients(torch.bmm(a, b), a, b) + with_gradients(flat[0] @ flat[1], *flat)


def attention() -> list:
    from torch.nn.functional import scaled_dot_product_attention as attend

    found = []
    for length in (1, 5, 77, 200):
        given = [tensor(3, 4, length, 32, seed=seed) for seed in range(3)]
        found += with_gradients(attend(*given, is_causal=True), *given)
        mask = tensor(3, 1, length, length, seed=5, learned=False) > -0.9
        found += with_gradients(attend(*given, attn_mask=mask | mask.mT), *given)
    return found


def softmax() -> list:
    import torch

    x = tensor(40, 801)
    found = with_gradients(torch.log_softmax(3 * x, -1), x)
    return found + with_gradients(torch.softmax(x, -1), x) + [x.exp(), (x.abs() + 0.1).log()]


def activations() -> list:
    import torch
    from torch.nn import functional as F

    x = tensor(50, 384)
    named = (F.gelu, F.silu, torch.tanh, torch.sigmoid)
    return [part for each in named for part in with_gradients(each(x), x)]


def norms() -> list:
    import torch
    from torch.nn import functional as F

    x, weight, bias = tensor(60, 128), tensor(128, seed=1), tensor(128, seed=2)
    found = with_gradients(F.layer_norm(x, (128,), weight, bias), x, weight, bias)
    rms = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
    return found + with_gradients(rms, x) + with_gradients(F.normalize(x, dim=-1), x)


def convolution() -> list:
    from torch.nn.functional import conv1d

    x, kernel = tensor(6, 128, 90), tensor(128, 1, 7, seed=1)
    return with_gradients(conv1d(x, kernel, padding=6, groups=128), x, kernel)


def optimizer() -> list:
    import torch

    weights = [tensor(128, 128), tensor(801, seed=1)]
    steps = torch.optim.AdamW(weights, lr=1e-3, eps=1e-4, fused=True)
    for step in range(5):
        for weight in weights:
            weight.grad = tensor(*weight.shape, seed=step, learned=False)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        steps.step()
    return weights


def draws() -> list:
    """What random weights and sampled tokens (stages/engines/gumbel.py) are made of."""
    import torch

    torch.manual_seed(3)
    square = torch.randn(64, 64)
    noise = -torch.log(-torch.log1p(-tensor(3000, learned=False).abs()))
    return [square, torch.linalg.qr(square)[0], torch.randperm(100), noise]


def searches() -> list:
    """numpy's sums and functions, and a faiss index, made and searched.

    Of numpy's products what a search makes of them: alone they depend on OpenBLAS's threads.
    """
    import faiss
    import numpy as np

    from stages.retrieval.dense import DenseIndex

    vectors, queries = numbers(5000, 64), numbers(9, 64, seed=1)
    wide = vectors.astype(np.float64)
    unit = vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    found = [part for both in DenseIndex(unit).search(unit[:9], 10) for part in both]
    found += [np.array([row @ queries[0] for row in unit]), np.exp(wide[:50])]
    found += [(wide * queries[0]).sum(axis=1)]
    found += [np.log(np.abs(wide[:50]) + 1), np.argsort(np.round(wide[:, 0], 1), kind="stable")]
    index = faiss.IndexIVFPQ(faiss.IndexFlatIP(64), 64, 16, 8, 4, faiss.METRIC_INNER_PRODUCT)
    index.do_polysemous_training = False
    faiss.omp_set_num_threads(THREADS)
    index.train(vectors)
    index.add(vectors)
    return [*found, index.search(queries, 10)[1]]


OPERATIONS: tuple[Callable[[], list], ...] = (
    linear,
    products,
    attention,
    softmax,
    activations,
    norms,
    convolution,
    optimizer,
    draws,
    searches,
)


def digests() -> dict[str, str]:
    """SHA-256 of the bytes of each operation's results."""
    portable.start_computing(Compute(threads=THREADS))
    found = {}
    for operation in OPERATIONS:
        total = hashlib.sha256()
        for part in operation():
            array = part.detach().numpy() if hasattr(part, "detach") else part
            total.update(array.tobytes())
        found[operation.__name__] = total.hexdigest()
    return found


if __name__ == "__main__":
    print(json.dumps(digests(), indent=2))
