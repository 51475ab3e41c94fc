import numpy as np
import pandas as pd
import pytest

from genre_utils import compression, compression_variants, datasets, distillation, export, project
from genre_utils.compression_variants import ENSEMBLE, NETWORKS, VARIANTS, named
from genre_utils.experiments import TABULAR, StudyResult
from genre_utils.project import Outputs, ProjectError


@pytest.fixture(scope="module")
def demo():
    return datasets.load("demo")


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    monkeypatch.setenv("JOBS", "1")
    monkeypatch.setattr(compression, "folder_of", lambda run_id: tmp_path / "made" / run_id)
    # What ExecuTorch makes of a network is tested where it is made.
    monkeypatch.setattr(export, "to_pte", lambda network, example: b"program")
    return Outputs("demo", "smoke")


def run(demo, outputs, *names, **options):
    return compression.run(
        demo, variants=names, study="08_compression", outputs=outputs, epochs=2, **options
    )


def test_variants_come_after_those_they_begin_with():
    names = list(VARIANTS)
    for name, variant in VARIANTS.items():
        assert all(names.index(needed) < names.index(name) for needed in variant.needs)
        assert variant.teacher in {None, ENSEMBLE, *VARIANTS}
        assert variant.network in NETWORKS
        for needed in variant.needs:
            assert set(variant.protocols) <= set(VARIANTS[needed].protocols)


@pytest.mark.parametrize("name", ["student_120k", "student_30k"])
def test_students_are_as_small_as_their_names_say(name):
    network = NETWORKS[name].build((1, 80, 496), 10, False)
    n = sum(parameter.numel() for parameter in network.parameters())
    for variant in VARIANTS.values():
        assert variant.network != name or f"{round(n, -3):,} weights" in variant.title


def test_who_had_nothing_but_labels_has_no_origin():
    origins = {name: VARIANTS[name].origin for name in ("mlp", "student_30k", "student_120k")}
    assert set(origins.values()) == {None}
    for name in ("student_30k_taught", "student_30k_static"):
        assert VARIANTS[name].origin == ENSEMBLE
    assert VARIANTS["resnet18_deep"].origin == "resnet18_mel"


def test_what_was_done_is_told_from_the_beginning():
    assert VARIANTS["resnet18_mel"].steps == ()
    assert VARIANTS["mlp_deep"].steps[0] == "magnitude pruning"
    assert "Huffman" in VARIANTS["mlp_deep"].steps[1]


def test_an_unknown_variant_is_named():
    with pytest.raises(ProjectError, match="resnet19"):
        named(["mlp", "resnet19"])


def test_variants_are_made_measured_and_kept(demo, outputs, tmp_path, monkeypatch):
    result = run(demo, outputs, "mlp_deep")
    runs = result.runs.set_index("protocol")
    assert set(runs.index) == {"segment_random", "fault_filtered"}
    for _, made in runs.iterrows():
        folder = compression.folder_of(made["run_id"])
        sizes = {name: (folder / name).stat().st_size for name in made["artefacts"]}
        assert made["bytes"]["onnx"] == sizes["network.onnx"]
        assert made["bytes"]["deep_compressed"] == sizes["weights.shared"]
        assert made["bytes"]["deep_compressed"] < made["bytes"]["zipped"] < made["bytes"]["fp32"]
        assert made["nonzero_parameters"] < 0.4 * made["n_parameters"]
        assert made["agreement"]["same_labels"] == 1
        assert made["agreement"]["largest_difference"] < 1e-4
        assert made["input_shape"] == [57] and made["input"] == TABULAR
        assert not list(folder.glob("*.checkpoint"))
    sums = result.predictions.filter(like="p_").sum(axis=1)
    assert np.allclose(sums, 1, atol=1e-3)
    uses = pd.read_csv(outputs.results / "test_uses.csv")
    # Those that it begins with are made, but predict nothing that is counted.
    assert set(uses["model"]) == {"mlp_deep"} and (uses["times"] == 1).all()

    def not_again(*args):
        raise AssertionError("made twice")

    monkeypatch.setattr(compression.Workshop, "_make", not_again)
    again = run(demo, outputs, "mlp_deep")
    assert again.predictions.equals(result.predictions)


def test_segments_are_parted_as_published(demo):
    material = compression._material(demo, TABULAR, "segment_random", seed=0)
    split = material.split
    parts = [len(split.train), len(split.valid), len(split.test)]
    assert np.allclose(np.array(parts) / sum(parts), [0.7, 0.2, 0.1], atol=0.02)
    assert len(np.unique(np.concatenate([split.train, split.valid, split.test]))) == sum(parts)


def test_nothing_outside_the_training_part_is_taught(demo, outputs, monkeypatch):
    columns = [f"p_{genre}" for genre in demo.genres]
    everything = pd.DataFrame(
        1 / len(columns), index=demo.tracks["track_id"], columns=columns
    )  # an ensemble that would say something of the test part, too
    nothing = StudyResult(pd.DataFrame(), pd.DataFrame(), pd.DataFrame())
    monkeypatch.setattr(compression.Store, "load", lambda self: nothing)
    monkeypatch.setattr(distillation, "taught", lambda headlines, teacher: everything)
    workshop, _ = compression.open_workshop(
        demo, named(["student_30k_taught"]), study="08_compression", outputs=outputs
    )
    material = workshop.materials["spectrogram", "fault_filtered"]
    heard = np.isfinite(workshop.soft).all(axis=1)
    assert set(np.flatnonzero(heard)) == set(material.split.train)


def test_what_decides_a_variant_decides_its_key(demo, outputs, monkeypatch):
    def key(name, **options):
        workshop, _ = compression.open_workshop(
            demo, named([name]), study="08_compression", outputs=outputs, **options
        )
        return workshop.unit(name, "fault_filtered").run_id

    first = key("mlp_pruned")
    assert key("mlp_pruned") == first
    others = {key("mlp_pruned", epochs=3), key("mlp_pruned", seed=1), key("mlp")}
    # What its parent is decides, too.
    changed = compression_variants.replace(VARIANTS["mlp"], work=())
    monkeypatch.setitem(VARIANTS, "mlp", changed)
    assert len({first, key("mlp_pruned"), *others}) == 5


def test_without_data_the_stored_predictions_count(outputs, monkeypatch):
    monkeypatch.setenv("FROM_PREDICTIONS", "1")
    assert project.from_predictions()
    with pytest.raises(ProjectError, match="no stored predictions"):
        compression.run(datasets.load("demo"), study="08_compression", outputs=outputs)
