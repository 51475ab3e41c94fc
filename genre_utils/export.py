"""Networks leave PyTorch: as ONNX, with weights of eight bits, and for ExecuTorch."""

import logging
import tempfile
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from onnxruntime import quantization
from torch import nn

INPUT, OUTPUT = "levels", "logits"

_LEAST_FRAMES = 32
_MOST_FRAMES = 2**19  # eight hours


def to_onnx(network: nn.Module, *, n_bands: int, n_frames: int = 496) -> bytes:
    """Return a network that reads spectrograms in ONNX.

    Parameters
    ----------
    network : nn.Module
        Takes levels [shape=(n, 1, n_bands, n_frames), dtype=uint8] and returns logits; it is
        left in evaluation mode, on the processor.
    n_bands, n_frames : int
        Size of its spectrograms. The exported network takes any number of items and, from
        32 on, of frames.

    Returns
    -------
    model : bytes
    """
    network = network.cpu().eval()
    levels = torch.zeros(2, 1, n_bands, n_frames, dtype=torch.uint8)
    # PyTorch 2.10, which Colab has, wants to know that sizes stay within 32 bits.
    any_length = torch.export.Dim("frames", min=_LEAST_FRAMES, max=_MOST_FRAMES)
    return in_onnx(network, levels, dynamic_shapes=({0: torch.export.Dim("n"), 3: any_length},))


def in_onnx(
    network: nn.Module | torch.export.ExportedProgram, example: torch.Tensor, **options
) -> bytes:
    """Return a network, or what `torch.export` made of it, as the bytes of an ONNX file.

    Parameters
    ----------
    network : nn.Module or torch.export.ExportedProgram
        Takes one tensor and returns one.
    example : torch.Tensor [shape=(n, ...)]
        What it takes.
    **options
        For `torch.onnx.export`.
    """
    with quiet():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            **options,
        )
    return program.model_proto.SerializeToString()


def to_pte(network: nn.Module, example: torch.Tensor | np.ndarray) -> bytes:
    """Return a network as a program for ExecuTorch, which runs networks on phones.

    Layers that XNNPACK has kernels for run in it, in eight bits where the network is
    quantised; the rest runs in ExecuTorch's own. Needs the extra ``compression``.

    Parameters
    ----------
    network : nn.Module
        In 32 bits, or quantised by torchao's PT2E with ExecuTorch's quantiser for XNNPACK;
        it is left in evaluation mode, on the processor.
    example : torch.Tensor or np.ndarray [shape=(1, ...)]
        An item that it reads. The program takes items of this shape and number type only.

    Returns
    -------
    program : bytes
    """
    # Training lays kernels out with the channels last; XNNPACK's passes expect the other order.
    network = network.cpu().to(memory_format=torch.contiguous_format)
    if not isinstance(network, torch.fx.GraphModule):  # an exported one has no such mode
        network = network.eval()
    with quiet(), torch.no_grad():
        # Needed where a program is made only: all else works without this library.
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        # A copy, since an axis that numpy has added has a stride of nothing.
        item = torch.as_tensor(example).clone(memory_format=torch.contiguous_format)
        exported = torch.export.export(network, (item,))
        lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        return bytes(lowered.to_executorch().buffer)


def to_int8(model: bytes, x: np.ndarray) -> bytes:
    """Return a network with weights and activations of eight bits.

    Weights have a scale a channel; the ranges of activations are those seen on some items
    (static quantisation [1]_). Weights use seven of their eight bits, because processors
    without VNNI add pairs of products in sixteen: every processor gives the same answer.

    Parameters
    ----------
    model : bytes
        In ONNX, as `to_onnx` returns it.
    x : np.ndarray [shape=(n, 1, n_bands, n_frames), dtype=uint8]
        Spectrograms of the training part.

    References
    ----------
    .. [1] Jacob et al., "Quantization and training of neural networks for efficient
       integer-arithmetic-only inference", CVPR 2018.
    """
    return quantised(
        model,
        lambda folded, small: quantization.quantize_static(
            folded,
            small,
            _Items(x),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        ),
    )


def quantised(model: bytes, quantise: Callable[[Path, Path], None]) -> bytes:
    """Return what one of onnxruntime's quantisers, which go from file to file, makes of a network.

    Parameters
    ----------
    model : bytes
        In ONNX.
    quantise : callable
        Takes the file of the network with its fixed parts folded, and the one to write.
    """
    with tempfile.TemporaryDirectory() as folder, quiet():
        plain, folded, small = (Path(folder, name) for name in ("plain", "folded", "small"))
        plain.write_bytes(model)
        quantization.quant_pre_process(plain, folded, skip_symbolic_shape=True)
        quantise(folded, small)
        return small.read_bytes()


class _Items(quantization.CalibrationDataReader):
    """Give spectrograms one at a time, as the quantiser asks for them."""

    def __init__(self, x: np.ndarray):
        self._items = iter(x)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next one as the network's input, or None after the last."""
        item = next(self._items, None)
        return None if item is None else {INPUT: item[None]}


@contextmanager
def quiet():
    """Keep the exporters' progress and advice to themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
