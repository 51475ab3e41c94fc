"""What a trained network becomes before it leaves: fixed parts folded, in ONNX, in one file."""

from collections.abc import Mapping

import numpy as np
import torch
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from genre_utils.export import in_onnx, quiet
from genre_utils.models.layers import RowScale
from genre_utils.training import Standardised


class Affine(nn.Module):
    """Bring each row of a picture of any number type to its scale, by one product and one sum.

    Parameters
    ----------
    scale, shift : Tensor
        What fits [shape=(n, 1, n_rows, frames)].
    """

    def __init__(self, scale: Tensor, shift: Tensor):
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 of the same shape."""
        return x.float() * self.scale + self.shift


class FixedPool(nn.Module):
    """Average a picture of one size to another by two matrix products.

    It equals `torch.nn.AdaptiveAvgPool2d`, which runtimes lack where sizes do not divide.

    Parameters
    ----------
    before, after : tuple of int
        Height and width that come in and go out.
    """

    def __init__(self, before: tuple[int, int], after: tuple[int, int]):
        super().__init__()
        rows, columns = (_means(*sizes) for sizes in zip(before, after, strict=True))
        self.register_buffer("rows", rows.contiguous())
        self.register_buffer("columns", columns.T.contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """Return a picture [shape=(n, 1, height, width)]."""
        return torch.matmul(self.rows, torch.matmul(x, self.columns))


def _means(before: int, after: int) -> Tensor:
    return functional.adaptive_avg_pool1d(torch.eye(before)[None], after)[0].T


def laid_out(network: nn.Module) -> nn.Module:
    """Lay kernels out in a row again, on the processor: training leaves their channels last.

    Pruning and ExecuTorch cannot read them that way.
    """
    return network.cpu().to(memory_format=torch.contiguous_format)


def adapted(network: nn.Module, x: np.ndarray) -> nn.Module:
    """Return a trained network that answers the same, made of what every runtime knows.

    Parameters
    ----------
    network : nn.Module
        It is changed, and left in evaluation mode on the processor.
    x : np.ndarray [shape=(n, ...)]
        Some items. Where the network pools adaptively, it takes items of this size only
        afterwards.
    """
    network = laid_out(network).eval()
    seen = {}
    hooks = [
        module.register_forward_hook(
            lambda module, args, out: seen.update({module: (args[0].shape[2:], out.shape[2:])})
        )
        for module in network.modules()
        if isinstance(module, nn.AdaptiveAvgPool2d)
    ]
    with torch.inference_mode():
        network(torch.from_numpy(x[:1]))
    for hook in hooks:
        hook.remove()
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child in seen and tuple(seen[child][1]) != (1, 1):
                setattr(parent, name, FixedPool(*map(tuple, seen[child])))
    return _with_rows_folded(network)


def _with_rows_folded(network: nn.Module) -> nn.Module:
    """Return a network whose two scalings of the input, one after the other, are one."""
    is_scaled = isinstance(network, Standardised) and isinstance(network.network, nn.Sequential)
    if not (is_scaled and isinstance(network.network[0], RowScale)):
        return network
    first, *others = network.network
    rows = first.scale
    with torch.no_grad():
        scale = rows.weight / torch.sqrt(rows.running_var + rows.eps)
        shift = rows.bias - scale * (rows.running_mean + network.mean / network.std)
        scale = scale / network.std
    return nn.Sequential(Affine(scale[:, None].clone(), shift[:, None].clone()), *others).eval()


def to_onnx(network: nn.Module, x: np.ndarray) -> bytes:
    """Return a network in ONNX that takes any number of items of one shape.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode; also one of eight bits (`quantization.rounded`).
    x : np.ndarray [shape=(n, ...)]
        Some items.
    """
    example = torch.from_numpy(np.resize(x, (2, *x.shape[1:])))
    with quiet(), torch.inference_mode():
        program = torch.export.export(
            network.cpu(), (example,), dynamic_shapes=({0: torch.export.Dim("n")},)
        )
        return in_onnx(program, example)


def to_safetensors(network: nn.Module) -> bytes:
    """Return a network's weights in the format of safetensors, which runs no code on loading."""
    return save_safetensors(weights_of(network))


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Return a network's weights by their names."""
    return {
        name: np.ascontiguousarray(value.detach().cpu().contiguous().numpy())
        for name, value in network.state_dict().items()
    }


def with_weights(network: nn.Module, weights: bytes | Mapping[str, np.ndarray]) -> nn.Module:
    """Give a network weights, and its layers as many channels as these have.

    Parameters
    ----------
    network : nn.Module
        As it was built, perhaps with more channels than the one whose weights they are;
        changed in place.
    weights : bytes or mapping of str to np.ndarray
        Of `to_safetensors` or `weights_of`.
    """
    if isinstance(weights, bytes):
        weights = load_safetensors(weights)
    for name, module in network.named_modules():
        if f"{name}.weight" in weights:
            _resize(
                module, {k: v.shape for k, v in weights.items() if k.rpartition(".")[0] == name}
            )
    network.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    return network


def _resize(module: nn.Module, shapes: dict[str, tuple[int, ...]]) -> None:
    for full_name, shape in shapes.items():
        name = full_name.rpartition(".")[2]
        old = getattr(module, name)
        if tuple(old.shape) != tuple(shape):
            new = torch.zeros(shape, dtype=old.dtype)
            is_weight = isinstance(old, nn.Parameter)
            setattr(module, name, nn.Parameter(new) if is_weight else new)
    shape = module.weight.shape
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        # A channel that is computed by itself has a group of its own.
        if module.groups > 1:
            module.groups = shape[0]
        module.out_channels, module.in_channels = shape[0], shape[1] * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = shape
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        module.num_features = shape[0]


def multiply_adds(network: nn.Module, x: np.ndarray) -> int:
    """Return how many products are added up for one item, in convolutions and matrix products.

    Parameters
    ----------
    network : nn.Module
        Left in evaluation mode.
    x : np.ndarray [shape=(n, ...)]
        Some items.
    """
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.cpu().eval()(torch.from_numpy(x[:1]))
    return counter.get_total_flops() // 2
