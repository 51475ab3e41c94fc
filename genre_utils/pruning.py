"""Take away what a network needs least: single weights, or whole channels."""

import warnings

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune

from genre_utils.deployment import laid_out
from genre_utils.project import ProjectError
from genre_utils.weight_sharing import layers


class PruningError(ProjectError):
    """A network cannot be pruned as asked."""


def hold_to_zero(network: nn.Module, *, sparsity: float) -> nn.Module:
    """Set a network's smallest weights to zero, and keep them there in training [1]_.

    The weights of all convolutions and dense layers are compared with each other.

    Parameters
    ----------
    network : nn.Module
        Changed in place. Weights that are held to zero already count as the smallest.
    sparsity : float
        Share of these weights that is zero afterwards, in [0, 1).

    Raises
    ------
    PruningError
        If `sparsity` is out of range.

    References
    ----------
    .. [1] Han, Pool, Tran & Dally, "Learning both weights and connections for efficient
       neural networks", NeurIPS 2015.
    """
    if not 0 <= sparsity < 1:
        raise PruningError(f"sparsity is {sparsity}; expected a share from 0 to less than 1")
    laid_out(let_go(network))
    prune.global_unstructured(
        [(layer, "weight") for layer in layers(network).values()],
        pruning_method=prune.L1Unstructured,
        amount=sparsity,
    )
    return network


def let_go(network: nn.Module) -> nn.Module:
    """Make weights that are held to zero plain ones again, of the same values; in place."""
    for layer in layers(network).values():
        if hasattr(layer, "weight_mask"):
            prune.remove(layer, "weight")
    return network


def sparsity(network: nn.Module) -> float:
    """Return the share of zeros among the weights of convolutions and dense layers."""
    weights = [layer.weight for layer in layers(network).values()]
    n_zero = sum(int((weight == 0).sum()) for weight in weights)
    return n_zero / sum(weight.numel() for weight in weights)


def remove_channels(network: nn.Module, example: np.ndarray, *, share: float) -> nn.Module:
    """Take whole channels out of a network, so that it is smaller and faster [1]_.

    Channels that depend on each other, such as those that a short cut adds up, go together;
    those whose weights are smallest go first, layers compared with each other.

    Parameters
    ----------
    network : nn.Module
        Changed in place.
    example : np.ndarray [shape=(n, ...)]
        Some items that it reads.
    share : float
        Share of all channels that is to go, in [0, 1).

    Raises
    ------
    PruningError
        If `share` is out of range.

    References
    ----------
    .. [1] Fang et al., "DepGraph: towards any structural pruning", CVPR 2023.
    """
    if not 0 <= share < 1:
        raise PruningError(f"share is {share}; expected one from 0 to less than 1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch_pruning

        network.cpu().eval()
        dense = [module for module in network.modules() if isinstance(module, nn.Linear)]
        # The rows of a spectrogram look like channels to the library.
        rows = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]
        pruner = torch_pruning.pruner.BasePruner(
            network,
            torch.from_numpy(example),
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=share,
            max_pruning_ratio=0.9,
            global_pruning=True,
            round_to=8,
            ignored_layers=[dense[-1], *rows],
        )
        pruner.step()
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return network
