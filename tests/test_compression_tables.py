"""What is said and drawn of a study of compression, on a made-up one."""

from dataclasses import replace
from itertools import combinations

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import study_of_compression as made_up
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from genre_utils import compression, plots_compression, tables_compression, words_compression
from genre_utils.datasets import Dataset
from genre_utils.experiments import Store, StudyResult
from genre_utils.measuring import COLUMNS, Measured
from genre_utils.project import Outputs, write_atomic

VARIANTS = made_up.VARIANTS
NOTHING = Measured(pd.DataFrame(columns=COLUMNS), pd.DataFrame(columns=["seconds", "cpu_s"]), {})


@pytest.fixture(scope="module")
def result():
    return made_up.result()


@pytest.fixture(scope="module")
def times():
    return tables_compression.latencies(made_up.measured(), reference="resnet18_mel")


def compared(result, times, **changes):
    tracks = pd.DataFrame({"track_id": result.predictions["track_id"].unique()})
    tracks["artist_id"] = [f"artist {position % 7}" for position in range(len(tracks))]
    empty = dict.fromkeys(Dataset.__dataclass_fields__)
    how = {"variants": VARIANTS, "reference": "resnet18_mel", "n_boot": 50}
    how |= {"teachers": {"ensemble": made_up.ensemble()}} | changes
    return tables_compression.compared(
        result, Dataset(**(empty | {"tracks": tracks})), times, **how
    )


@pytest.fixture(scope="module")
def table(result, times):
    return compared(result, times)


@pytest.fixture(scope="module")
def ways(result):
    return tables_compression.both_ways(result, variants=VARIANTS, n_boot=50)


def test_times_are_of_the_processor_on_one_thread_and_compared_round_by_round(times):
    by = times.set_index(["model", "runtime", "threads"])
    one = by.loc[("student_30k", "onnxruntime", 1)]
    assert one["ms"] == pytest.approx(0.2) and one["label_ms"] == pytest.approx(5.2)
    assert [one[f"faster{end}"] for end in ("", "_low", "_high")] == pytest.approx([90, 90, 90])
    assert by.loc[("student_30k", "onnxruntime", 2)]["ms"] == pytest.approx(0.2)  # passed
    assert one["network_mb"] == 10
    assert tables_compression.busy(made_up.measured()) == pytest.approx(0.5)


def test_every_variant_is_held_against_teacher_best_and_reference(table):
    by = table.set_index("model")
    assert table["best"].sum() == 1 and by.loc["resnet_small", "best"]
    student = by.loc["student_30k"]
    assert student["teacher_difference"] == pytest.approx(-4 / 40)
    assert student["best_difference"] == pytest.approx(-2 / 40) and student["best_tracks"] == -2
    assert student["smaller"] == pytest.approx(44e6 / 55e3)
    assert (student["runtime"], student["ms"]) == ("onnxruntime", pytest.approx(0.2))
    deep = by.loc["deep"]
    assert (deep["file_bytes"], deep["stored_bytes"]) == (44e6, 0.9e6)
    assert pd.isna(by.loc["resnet18_mel", "teacher_difference"])
    shown = tables_compression.to_read(table).set_index("variant")
    assert shown.loc["Small ResNet", "against the best"] == "is the best"
    assert shown.loc["ResNet18, deep compressed", "stored"] == "879 KiB (packed)"
    costs = tables_compression.costs_to_read(table).set_index("variant")
    assert costs.loc["Student, 30k", "faster"] == "90× (90–90)"


def test_who_learnt_from_labels_alone_is_not_told_to_have_a_teacher(result, times, ways):
    alone = VARIANTS | {"student_30k": replace(VARIANTS["student_30k"], steps=())}
    described = tables_compression.described(alone, result.runs).set_index("variant")
    assert described.loc["Student, 30k", "made of, or taught by"] == "–"
    table = compared(result, times, variants=alone)
    shown = tables_compression.to_read(table).set_index("variant")["against its origin"]
    assert shown["Student, 30k"].startswith("none; against the ensemble -0.100")
    assert shown["ResNet18, int8"].startswith("-0.025") and shown["ResNet18"] == "–"
    faster = tables_compression.same_runtime(times, before="resnet18_mel", after=[])
    goals = tables_compression.goals(table, ways, faster, made_up.measured())
    assert goals["found"][0].startswith("Student, 30k: 800 times smaller")
    assert goals["found"][1].startswith("MLP, pruned: 110 times smaller")
    assert "against MLP" in goals["found"][1]


def test_a_line_of_variants_is_told_step_by_step():
    names = ["resnet18_deep", "student_30k_int8", "student_30k_taught", "student_30k"]
    runs = pd.DataFrame({"model": names})
    made_of = tables_compression.described(compression.VARIANTS, runs)["made of, or taught by"]
    assert made_of.tolist() == [
        "ResNet18, pruned", "Student of 29,000 weights", "the ensemble without pretraining", "–"
    ]  # fmt: skip


def students(**n_right):
    """Students of the registry, each right on so many of 40 tracks."""
    found = [made_up.rows(name, name, "fault_filtered", n) for name, n in n_right.items()]
    runs = [{"run_id": name, "model": name, "protocol": "fault_filtered"} for name in n_right]
    return StudyResult(pd.concat(found), pd.DataFrame(runs), pd.DataFrame())


@pytest.mark.parametrize(
    ("taught", "said"),
    [
        (24, "+0.050 (0.000 to +0.125). 1 of 1 interval holds zero: nothing shows here that tea"),
        (40, "0 of 1 interval hold zero: that is more than luck of the tracks. Each rests on one"),
    ],
)
def test_a_taught_student_is_held_against_the_same_one_from_labels_alone(taught, said):
    result = students(student_30k=22, student_30k_taught=taught, student_30k_int8=30, mlp=30)
    gains = tables_compression.distilled(result, variants=compression.VARIANTS, n_boot=200)
    assert gains["model"].tolist() == ["student_30k_taught"]
    assert gains["difference"].tolist() == [pytest.approx((taught - 22) / 40)]
    assert gains["accuracy_against"].tolist() == [pytest.approx(22 / 40)]
    line = words_compression.distilled_line(gains)
    assert said in line and "On the same 40 test tracks: **Student of 29,000" in line
    alone = students(student_30k=22, student_120k_taught=24)
    none = tables_compression.distilled(alone, variants=compression.VARIANTS, n_boot=200)
    assert none.empty and "No student was both" in words_compression.distilled_line(none)


def test_the_luck_of_the_reference_is_told_where_other_seeds_are_stored(
    result, tmp_path, monkeypatch
):
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    outputs = Outputs("made-up")
    seeds = tables_compression.reference_seeds(result, outputs, reference="resnet18_mel")
    assert seeds.empty and words_compression.training_line(result, seeds).endswith("made of it.")
    store = Store("04_multimodal", outputs)
    rows = [
        made_up.rows("resnet18_mel", f"r{seed}", "fault_filtered", n).assign(seed=seed)
        for seed, n in enumerate((20, 14, 11))
    ]
    write_atomic(store.table, pd.concat(rows).to_parquet())
    listed = ", ".join(f'{{"run_id": "r{seed}"}}' for seed in range(3))
    write_atomic(store.table.with_suffix(".json"), f'{{"runs": [{listed}], "impossible": []}}')
    seeds = tables_compression.reference_seeds(result, outputs, reference="resnet18_mel")
    line = words_compression.training_line(result, seeds)
    assert "with 3 seeds, which reach 0.275 to 0.500 on the same test part, 0.375 on" in line
    assert "the one here reaches 0.500." in line and "would stand 0.125 better." in line
    assert tables_compression.reference_seeds(result, outputs, reference="mlp").empty


@pytest.mark.parametrize(
    ("validation", "said"),
    [
        (0.59, "There it is 1 track of 100 ahead of Student, 30k, which is too little to tell"),
        (0.60, "There it is only as accurate as Student, 30k; of equals, the smallest is taken."),
        (0.50, "There it is 10 tracks of 100 ahead of the 3 next best. Differences"),
    ],
)
def test_a_narrow_win_is_called_narrow(table, validation, said):
    student = table["model"].eq("student_30k")
    table = table.assign(validation_accuracy=table["validation_accuracy"].mask(student, validation))
    assert said in words_compression.best_line(table)


def test_a_teacher_that_is_not_stored_leaves_a_gap(result, times):
    by = compared(result, times, teachers={}).set_index("model")
    assert pd.isna(by.loc["student_30k", "teacher_difference"])


def test_pruning_is_shown_under_both_splits(ways):
    pruned = ways[ways["model"] == "mlp_pruned"].set_index("protocol")
    assert set(pruned.index) == {"segment_random", "fault_filtered"}
    assert pruned.loc["segment_random", "smaller"] == pytest.approx(400 / 39)
    assert (pruned["difference"] == 0).all() and pruned["fewer"].round().eq(12).all()
    said = words_compression.both_ways_line(ways)
    assert "The network itself scores 0.90 under `segment_random`" in said
    assert "0.55 under `fault_filtered`" in said and "(100 against 100 segments)." in said
    assert "Pruning makes a difference beyond luck in 0 of 1 cases under the first; under" in said
    assert "memory" not in said


@pytest.mark.parametrize(
    ("known", "strange", "said"),
    [
        ((-0.06, -0.01), (0.01, 0.05), "it adds some. One reading: what is lost is memory of"),
        ((-0.01, 0.01), (-0.05, -0.01), "it costs accuracy. One reading: segments on both sides"),
        ((-0.06, -0.01), (-0.06, -0.01), "Pruning costs accuracy under the first; under the sec"),
    ],
)
def test_what_pruning_takes_follows_from_the_intervals(ways, known, strange, said):
    ways = ways.copy()
    for protocol, ends in (("segment_random", known), ("fault_filtered", strange)):
        rows = ways["model"].eq("mlp_pruned") & ways["protocol"].eq(protocol)
        ways.loc[rows, ["difference_low", "difference_high"]] = ends
        ways.loc[rows, "fewer"] = {"segment_random": 4.9, "fault_filtered": 12}[protocol]
    line = words_compression.both_ways_line(ways)
    assert said in line and ("One reading" in line) == (known[0] != strange[0])
    assert "and more or less was pruned (4.9 against 12 times fewer weights)." in line


def test_the_smallest_file_runs_and_the_smallest_packed_one_does_not(table):
    line = words_compression.cost_line(table, reference="resnet18_mel")
    assert "The smallest file that runs as it is is that of **Student, 30k**: 53.7 KiB" in line
    assert "packed one is that of **MLP, pruned**: 38.1 KiB, 1128 times smaller" in line
    assert "it has to be unpacked to 391 KiB." in line
    without = table[~table["model"].str.startswith("mlp")]
    assert "packed" not in words_compression.cost_line(without, reference="resnet18_mel")


def test_published_figures_stand_beside_ours(table, ways, times):
    faster = tables_compression.same_runtime(
        times, before="resnet18_mel", after=["resnet18_int8", "not made"]
    )
    assert faster["faster"].tolist() == [pytest.approx(3)]
    shown = tables_compression.beside_published(
        table, ways, faster, before="resnet18_mel", variants=VARIANTS
    )
    assert shown["accuracy"].tolist()[:2] == ["0.7374 → 0.7273", "0.5000 → 0.4750"]
    assert shown["time"].tolist()[:2] == ["0.1488 → 0.1479 s", "6 → 2 ms (3×)"]


def test_goals_say_what_was_met(table, ways, times):
    faster = tables_compression.same_runtime(times, before="resnet18_mel", after=["resnet18_int8"])
    goals = tables_compression.goals(table, ways, faster, made_up.measured())
    assert goals["met"].tolist() == ["yes", "no", "yes", "yes", "yes", "yes", "yes"]
    student = "Student, 30k: 800 times smaller, 90× (90–90) faster, "
    assert goals["found"][0].startswith(f"{student}+") and "against ResNet18" in goals["found"][0]
    assert f"{student}-0.100" in goals["found"][1] and "against the ensemble" in goals["found"][1]
    assert goals["found"][2].endswith("3 times faster, 1 track lost")
    assert goals["found"].iloc[-1] == "0.55 s (0.40 s of the processor)"
    slower = faster.assign(faster=1 / 3.6)
    goals = tables_compression.goals(table, ways, slower, made_up.measured())
    assert "3.6 times slower, 1 track lost" in goals["found"][2]
    unmeasured = tables_compression.goals(table, ways, faster, NOTHING)
    assert unmeasured["met"].tolist()[-2:] == ["not measured"] * 2


def test_a_device_gets_what_fits_and_validates_best(table, times):
    devices = tables_compression.for_devices(table, times).set_index("device")
    assert devices.loc["server or laptop", "model"] == "resnet_small"
    assert devices.loc["phone app", "model"] == "student_30k"
    said = words_compression.answer(devices.reset_index(), table)
    assert "**phone app**: Student, 30k in ExecuTorch, 53.7 KiB, 0.60" in said
    assert (
        tables_compression.ASSUMED in said and "(notebook 07), which is many, reaches 0.70" in said
    )
    without = table.assign(teacher_difference=float("nan"))
    assert "notebook 07" not in words_compression.answer(devices.reset_index(), without)
    read = tables_compression.devices_to_read(devices.reset_index())
    assert read["assumed limit"].tolist()[:2] == ["any size", "1 MiB"]
    assert tables_compression.fragment(devices.reset_index()).endswith(tables_compression.ASSUMED)
    large = table[table["file_bytes"] > 10**7]
    none = tables_compression.for_devices(large, times)
    assert tables_compression.devices_to_read(none)["take"].tolist()[1] == "none is small enough"
    assert "none of these is small enough" in words_compression.answer(none, large)


def test_everything_can_be_said_without_measurements(result):
    times = tables_compression.latencies(NOTHING, reference="resnet18_mel")
    table = compared(result, times)
    assert table["faster"].isna().all() and tables_compression.costs_to_read(table).empty
    assert "Nothing was measured" in words_compression.machine_line(NOTHING)
    assert "without a trained network" in words_compression.bundle_line(NOTHING, times)
    assert tables_compression.in_runtimes(times, VARIANTS).empty
    words_compression.cost_line(table, reference="resnet18_mel")
    words_compression.answer(tables_compression.for_devices(table, times), table)
    for figure in (
        plots_compression.pareto(table, chance=0.5), plots_compression.runtimes(times, {}),
    ):  # fmt: skip
        plt.close(figure)


def test_what_is_said_names_machine_and_spread(result, table, times):
    measured = made_up.measured()
    line = words_compression.machine_line(measured)
    assert "with AVX2, AVX512-VNNI" in line and "runs waited 50% of the time" in line
    agreement = tables_compression.agreement(result, variants=VARIANTS)
    line = words_compression.exports_line(agreement, times)
    assert ". Of 8 files written as the network is, 0 give every clip the same label" in line
    assert ". Of 1 file rounded to eight bits on the way into the file, 0 give" in line
    line = words_compression.training_line(result, pd.DataFrame())
    assert "a single training with seed 0;" in line
    assert "800 ms" not in words_compression.bundle_line(measured, times)
    assert tables_compression.not_measured(measured, VARIANTS)["runtime"].tolist() == ["ExecuTorch"]


def test_names_in_the_figure_cover_nothing(table):
    figure = plots_compression.pareto(table, chance=0.5)
    renderer = figure.canvas.get_renderer()
    texts = [text for text in figure.axes[0].texts if text.get_text() in set(table["title"])]
    boxes = [Text.get_window_extent(text, renderer) for text in texts]  # without its line
    best_so_far = table.sort_values("stored_bytes")["accuracy"].cummax()
    on_front = table.loc[best_so_far.drop_duplicates().index, "title"]
    assert set(on_front) <= {text.get_text() for text in texts} and len(texts) > len(on_front)
    assert not any(Bbox.intersection(*pair) for pair in combinations(boxes, 2))
    for text, box in zip(texts, boxes, strict=True):
        point = figure.axes[0].transData.transform(text.xy)
        leader = Path([point, [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2]])
        assert not any(leader.intersects_bbox(other) for other in boxes if other is not box)
    assert "Student, 30k 54 KiB, 0.60" in plots_compression.pareto_alt(table)
    plt.close(figure)
