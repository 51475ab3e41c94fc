"""Which networks are made small, and how: the registry that `compression.run` works through."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from genre_utils import systems
from genre_utils.augment import Augmentation
from genre_utils.compression_steps import (
    Int8,
    Lesson,
    OnnxInt8,
    Prune,
    Share,
    Slim,
    Step,
    Train,
)
from genre_utils.experiments import TABULAR
from genre_utils.models import mlp, student
from genre_utils.project import ProjectError
from genre_utils.systems import System

TABULAR_S = 10.0
"""Length in seconds of the segments that the perceptron's features describe."""

ENSEMBLE = "ensemble"
"""Name of the teacher that is no network: the mean of several without pretraining."""

_PICTURES = ("fault_filtered",)
_BOTH = ("segment_random", "fault_filtered")


@dataclass(frozen=True)
class Variant:
    """A network, and what is done to it.

    Attributes
    ----------
    name, title, purpose : str
        Its key, its name for readers, and what it is for in one line.
    network : str
        How it is built: a name in `NETWORKS`.
    work : tuple of Step
        What is done, one after the other.
    parent : str or None
        The variant whose network it begins with; None for first weights of its own.
    teacher : str or None
        What its accuracy is held against: a variant, or `ENSEMBLE`.
    protocols : tuple of str
        Names in `splits.PROTOCOLS`.
    """

    name: str
    title: str
    purpose: str
    network: str
    work: tuple[Step, ...]
    parent: str | None = None
    teacher: str | None = None
    protocols: tuple[str, ...] = _PICTURES

    @property
    def steps(self) -> tuple[str, ...]:
        """What was done to it and to those before it, in words; plain training is nothing."""
        before = VARIANTS[self.parent].steps if self.parent else ()
        return before + tuple(str(step) for step in self.work if str(step) != "training")

    @property
    def origin(self) -> str | None:
        """The network that its line began with, or the teacher of that line's first.

        This may be further back than `parent`. None where it had nothing but labels.
        """
        taught = any(lesson.soft or lesson.teacher for lesson in self.lessons)
        return self.teacher if self.parent or taught else None

    @property
    def reads(self) -> str:
        """Name of its input."""
        return NETWORKS[self.network].input

    @property
    def lessons(self) -> tuple[Lesson, ...]:
        """How it is trained."""
        found = (getattr(step, "lesson", None) for step in self.work)
        return tuple(lesson for lesson in found if lesson)

    @property
    def needs(self) -> tuple[str, ...]:
        """The variants that have to be finished before it."""
        teachers = [lesson.teacher for lesson in self.lessons if lesson.teacher]
        return tuple(dict.fromkeys([self.parent] * bool(self.parent) + teachers))

    @property
    def depth(self) -> int:
        """How many variants have to be finished before it, one after the other."""
        return max((1 + VARIANTS[name].depth for name in self.needs), default=0)

    @property
    def learns_softly(self) -> bool:
        """Whether it learns from what the ensemble says of the training part."""
        return any(lesson.soft for lesson in self.lessons)


def _student(name: str, title: str, purpose: str, build) -> System:
    return System(name, title, purpose, lambda shape, n, pretrained: build(shape[1], n))


NETWORKS = {
    network.name: network
    for network in [
        systems.SYSTEMS["resnet18_mel"],
        systems.SYSTEMS["resnet_small"],
        System(
            "mlp",
            "MLP, 57 features",
            "three hidden layers with dropout on the features of a segment",
            lambda shape, n, pretrained: mlp.mlp(n_features=shape[0], n_classes=n),
            input=TABULAR,
            scaled=False,
        ),
        _student(
            "student_120k",
            "Student, 120k",
            "plain convolutions with early strides",
            lambda n_bands, n: student.strided(
                n_bands=n_bands, widths=(16, 32, 64, 96), stem=(2, 4), n_classes=n
            ),
        ),
        _student(
            "student_30k",
            "Student, 30k",
            "plain convolutions with early strides, few channels",
            lambda n_bands, n: student.strided(
                n_bands=n_bands, widths=(12, 24, 32, 48), stem=(2, 4), n_classes=n
            ),
        ),
    ]
}
"""Every network by its name."""


def _lesson_of(network: str, **changes) -> Lesson:
    """Return the lesson that a system's recipe and augmentation stand for."""
    system = NETWORKS[network]
    recipe = system.recipe
    lesson = Lesson(
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        batch_size=recipe.batch_size,
        weight_decay=recipe.weight_decay,
        label_smoothing=recipe.label_smoothing,
        augmentation=system.augmentation,
    )
    return replace(lesson, **changes)


_MLP = Lesson(epochs=60, batch_size=64, learning_rate=1e-3, weight_decay=1e-2)
_RESNET18 = _lesson_of("resnet18_mel", epochs=4, learning_rate=2e-4)
_SMALL = _lesson_of("resnet_small", epochs=8, learning_rate=3e-4, teacher="resnet_small", share=0.7)
_CHANGED = NETWORKS["resnet_small"].augmentation
_STUDY = Lesson(epochs=100, learning_rate=2e-3, augmentation=_CHANGED, label_smoothing=0.1)
_TAUGHT = replace(_STUDY, label_smoothing=0.0, teacher="resnet_small", share=0.8, soft=0.5)
# Quantisation is trained on whole clips: the graph takes items of one size.
_WHOLE = replace(
    _TAUGHT, epochs=10, learning_rate=2e-4,
    augmentation=Augmentation(equaliser=0.35, gain=0.1, masks=2, mixup=0.4),
)  # fmt: skip


def _students(size: str, n: str) -> list[Variant]:
    name, title = f"student_{size}", f"Student of {n} weights"
    taught = f"{name}_taught"
    return [
        Variant(
            name, f"{title}, labels alone", "what a small network learns from labels alone",
            name, (Train(_STUDY),), teacher=ENSEMBLE,
        ),
        Variant(
            taught, f"{title}", "what it learns from the ensemble and from the small ResNet",
            name, (Train(_TAUGHT),), teacher=ENSEMBLE,
        ),
        Variant(
            f"{name}_int8", f"{title}, int8", "the same in eight bits, for ExecuTorch",
            name, (Int8(),), parent=taught, teacher=ENSEMBLE,
        ),
        Variant(
            f"{name}_qat", f"{title}, int8 trained", "eight bits that were trained, for ExecuTorch",
            name, (Int8(_WHOLE),), parent=taught, teacher=ENSEMBLE,
        ),
        Variant(
            f"{name}_static", f"{title}, int8 ONNX", "eight bits for onnxruntime",
            name, (OnnxInt8(),), parent=taught, teacher=ENSEMBLE,
        ),
    ]  # fmt: skip


VARIANTS = {
    variant.name: variant
    for variant in [
        Variant(
            "resnet18_mel", "ResNet18", "the reference, in 32 bits", "resnet18_mel",
            (Train(_lesson_of("resnet18_mel")),),
        ),
        Variant(
            "resnet18_dynamic", "ResNet18, int8 dynamic", "activations rounded as they come",
            "resnet18_mel", (OnnxInt8(dynamic=True),),
            parent="resnet18_mel", teacher="resnet18_mel",
        ),
        Variant(
            "resnet18_static", "ResNet18, int8 ONNX", "weights and activations rounded beforehand",
            "resnet18_mel", (OnnxInt8(),), parent="resnet18_mel", teacher="resnet18_mel",
        ),
        Variant(
            "resnet18_int8", "ResNet18, int8", "the same, for ExecuTorch", "resnet18_mel",
            (Int8(),), parent="resnet18_mel", teacher="resnet18_mel",
        ),
        Variant(
            "resnet18_qat", "ResNet18, int8 trained", "eight bits that were trained",
            "resnet18_mel", (Int8(replace(_RESNET18, epochs=2, learning_rate=5e-5)),),
            parent="resnet18_mel", teacher="resnet18_mel",
        ),
        Variant(
            "resnet18_pruned", "ResNet18, pruned", "most weights held to zero", "resnet18_mel",
            (Prune((0.8, 0.9, 0.95, 0.97), replace(_RESNET18, epochs=2)),),
            parent="resnet18_mel", teacher="resnet18_mel",
        ),
        Variant(
            "resnet18_shared", "ResNet18, 16 values a layer", "weights share values, none is zero",
            "resnet18_mel", (Share(4),), parent="resnet18_mel", teacher="resnet18_mel",
        ),
        Variant(
            "resnet18_deep", "ResNet18, deep compression", "pruned, shared, entropy-coded",
            "resnet18_mel", (Share(4, replace(_RESNET18, epochs=2)),),
            parent="resnet18_pruned", teacher="resnet18_mel",
        ),
        Variant(
            "resnet18_slim", "ResNet18, slim", "half of its channels", "resnet18_mel",
            (Slim(0.5, replace(_RESNET18, epochs=6, learning_rate=5e-4)),),
            parent="resnet18_mel", teacher="resnet18_mel",
        ),
        Variant(
            "resnet18_slim_int8", "ResNet18, slim, int8", "half of its channels in eight bits",
            "resnet18_mel", (Int8(),), parent="resnet18_slim", teacher="resnet18_mel",
        ),
        Variant(
            "resnet_small", "Small ResNet", "the network that is best inside the training part",
            "resnet_small", (Train(_lesson_of("resnet_small")),),
        ),
        Variant(
            "resnet_small_static", "Small ResNet, int8 ONNX", "eight bits for onnxruntime",
            "resnet_small", (OnnxInt8(),), parent="resnet_small", teacher="resnet_small",
        ),
        Variant(
            "resnet_small_int8", "Small ResNet, int8", "eight bits for ExecuTorch",
            "resnet_small", (Int8(),), parent="resnet_small", teacher="resnet_small",
        ),
        Variant(
            "resnet_small_deep", "Small ResNet, deep compression",
            "pruned, shared, entropy-coded", "resnet_small",
            (Prune((0.7, 0.8, 0.9), _SMALL, tolerance=0.01), Share(5, replace(_SMALL, epochs=4))),
            parent="resnet_small", teacher="resnet_small",
        ),
        Variant(
            "resnet_small_slim", "Small ResNet, slim", "half of its channels", "resnet_small",
            (Slim(0.5, replace(_SMALL, epochs=20, learning_rate=1e-3)),),
            parent="resnet_small", teacher="resnet_small",
        ),
        Variant(
            "resnet_small_slim_static", "Small ResNet, slim, int8 ONNX",
            "half of its channels in eight bits", "resnet_small", (OnnxInt8(),),
            parent="resnet_small_slim", teacher="resnet_small",
        ),
        *_students("120k", "97,000"),
        *_students("30k", "29,000"),
        Variant(
            "mlp", "MLP on 57 features", "the published kind: dense layers with dropout", "mlp",
            (Train(_MLP),), protocols=_BOTH,
        ),
        Variant(
            "mlp_pruned", "MLP, pruned", "as many weights held to zero as do no harm", "mlp",
            (Prune((0.8, 0.85, 0.9, 0.92, 0.94, 0.96), replace(_MLP, epochs=20)),),
            parent="mlp", teacher="mlp", protocols=_BOTH,
        ),
        Variant(
            "mlp_deep", "MLP, deep compression", "pruned, shared, entropy-coded", "mlp",
            (Share(5, replace(_MLP, epochs=10, learning_rate=3e-4)),),
            parent="mlp_pruned", teacher="mlp", protocols=_BOTH,
        ),
    ]
}  # fmt: skip
"""Every variant by its name; those that others begin with come first."""


def named(names: Sequence[str] | None) -> list[Variant]:
    """Return variants by their names, or all of them.

    Raises
    ------
    ProjectError
        If a name is unknown.
    """
    if names is None:
        return list(VARIANTS.values())
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise ProjectError(
            f"unknown variants: {', '.join(unknown)}; expected some of {', '.join(VARIANTS)}"
        )
    return [VARIANTS[name] for name in names]
