"""Weights and activations of eight bits, for ExecuTorch (PT2E) and onnxruntime.

A network for ExecuTorch is quantised as a graph: the quantiser of XNNPACK, the library that
computes it on phones, says where numbers are rounded. The graph still runs in PyTorch,
which shows what rounding does to the answers.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime import quantization
from torch import nn

from genre_utils.export import quantised, quiet

_STATIC = "prepare_pt2e"
_AWARE = "prepare_qat_pt2e"


def observed(network: nn.Module, x: np.ndarray) -> nn.Module:
    """Return a network as a graph that has seen which ranges its numbers take.

    Parameters
    ----------
    network : nn.Module
        It is left in evaluation mode.
    x : np.ndarray [shape=(n, ...)]
        Items of the training part.
    """
    graph = _prepared(network.cpu().eval(), x, _STATIC)
    with torch.inference_mode():
        for start in range(0, len(x), 16):
            graph(torch.from_numpy(x[start : start + 16]))
    return graph


def aware(network: nn.Module, x: np.ndarray) -> nn.Module:
    """Return a network as a graph that rounds its numbers in training as later in use [1]_.

    Parameters
    ----------
    network : nn.Module
        Its normalisation layers become part of the convolutions before them.
    x : np.ndarray [shape=(n, ...)]
        Some items; the graph takes any number of items of this shape.

    References
    ----------
    .. [1] Jacob et al., "Quantization and training of neural networks for efficient
       integer-arithmetic-only inference", CVPR 2018.
    """
    from torchao.quantization.pt2e import allow_exported_model_train_eval

    return allow_exported_model_train_eval(_prepared(network.cpu().train(), x, _AWARE))


def rounded(graph: nn.Module) -> nn.Module:
    """Return the network of eight bits that a graph of `observed` or `aware` stands for."""
    from torchao.quantization.pt2e import (
        allow_exported_model_train_eval,
        move_exported_model_to_eval,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    with quiet():
        move_exported_model_to_eval(graph)
        return allow_exported_model_train_eval(convert_pt2e(graph))


def _prepared(network: nn.Module, x: np.ndarray, how: str) -> nn.Module:
    with quiet():
        from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
        from torchao.quantization.pt2e import quantize_pt2e

        # Two items: a graph that has seen a single one takes no other number of them.
        example = torch.from_numpy(np.resize(x, (2, *x.shape[1:])))
        program = torch.export.export(
            network, (example,), dynamic_shapes=({0: torch.export.Dim("n")},)
        )
        quantiser = xnnpack.XNNPACKQuantizer().set_global(
            xnnpack.get_symmetric_quantization_config(is_per_channel=True, is_qat=how == _AWARE)
        )
        return getattr(quantize_pt2e, how)(program.module(), quantiser)


def dynamic_onnx(model: bytes) -> bytes:
    """Return a network in ONNX with weights of eight bits; activations are rounded as they come.

    Parameters
    ----------
    model : bytes
        In ONNX.
    """
    return quantised(model, _quantise_dynamically)


def _quantise_dynamically(folded: Path, small: Path) -> None:
    network = onnx.load(folded)
    # The quantiser turns dense weights around, and would trip over their former shapes.
    del network.graph.value_info[:]
    quantization.quantize_dynamic(
        network, small, weight_type=quantization.QuantType.QInt8, per_channel=True
    )
