"""A network of a few numbers, for tests of what surrounds one: it hears low, middle and high."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from genre_utils import bundle

GENRES = ("low", "middle", "high")


def network(*, n_mels: int = 80, n_genres: int = 3) -> bytes:
    """Return an ONNX network whose logits are the mean levels of equal shares of the bands."""
    weights = np.zeros((n_mels, n_genres), np.float32)
    for genre, bands in enumerate(np.array_split(np.arange(n_mels), n_genres)):
        weights[bands, genre] = 0.1 / len(bands)
    nodes = [
        helper.make_node("Cast", ["levels"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("levels", TensorProto.UINT8, ["n", 1, n_mels, "frames"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", n_genres])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([1, 3]), "axes"),
        ],
    )
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


def write(folder, **changes) -> bundle.Bundle:
    given = {
        "name": "tiny",
        "genres": GENRES,
        "temperature": 0.5,
        "card": bundle.Card("Tiny", {"Data": "none", "Limits": "many"}, {"accuracy": 0.5}),
    }
    return bundle.write(folder, changes.pop("model", network()), **(given | changes))
