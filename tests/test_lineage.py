import json

from genre_utils import lineage, staleness

CODE, NEWER = {"a.py": "1"}, {"a.py": "2", "b.py": "3"}


def notebook(number):
    return next(nb for nb in staleness.notebooks() if nb.number == number)


def test_training_code_is_what_trains_and_not_what_draws():
    classical, deep = (set(lineage.training_code(notebook(n))) for n in ("03", "04"))
    assert {"experiments.py", "splits.py", "tuning.py", "models/classical.py"} <= classical
    assert {"training.py", "systems.py", "models/resnet.py"} <= deep
    assert not {"plots.py", "words.py", "tables.py"} & (classical | deep)
    assert "training.py" not in classical
    assert lineage.training_code(notebook("02")) == {}


def test_comments_and_docstrings_are_no_code(tmp_path):
    texts = {
        "plain": "def f(x):\n    return x\n",
        "told": '"""Module."""\ndef f(x):\n    """Return x."""\n    # Why.\n    return (x)\n',
        "other": "def f(x):\n    return x + 1\n",
        "empty": 'def f(x):\n    """Do nothing."""\n',
    }
    digests = {}
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
        digests[name] = lineage._code_digest(tmp_path / f"{name}.py")
    assert digests["plain"] == digests["told"]
    assert len(set(digests.values())) == 3


def test_runs_are_read_from_records_alone(tmp_path):
    folder = tmp_path / "predictions"
    folder.mkdir()
    (folder / "04.json").write_text(json.dumps({"runs": [{"run_id": "b"}, {"run_id": "a"}]}))
    (folder / "04_budget.json").write_text("[]")
    (folder / "04_measured.json").write_text('{"machine": {}, "rows": []}')
    (tmp_path / "04_readme.json").write_text("{}")
    files = [folder / "04.json", folder / "04_budget.json"]
    files += [folder / "04_measured.json", tmp_path / "04_readme.json"]
    assert lineage.stored_runs(files) == ["b", "a"]


def test_a_run_keeps_the_code_that_trained_it():
    first = lineage.trained_by(["a", "b"], before=[], code=CODE, earlier=[])
    assert first == [{"code": CODE, "runs": ["a", "b"]}]
    later = lineage.trained_by(["a", "c"], before=["a", "b"], code=NEWER, earlier=first)
    assert later == [{"code": CODE, "runs": ["a"]}, {"code": NEWER, "runs": ["c"]}]
    # Made again from predictions: nothing is trained, nothing changes.
    again = lineage.trained_by(["a", "c"], before=["a", "c"], code={"z.py": "9"}, earlier=later)
    assert again == later
    retrained = lineage.trained_by(["a", "c"], before=[], code=NEWER, earlier=later)
    assert retrained == [{"code": NEWER, "runs": ["a", "c"]}]


def test_runs_from_before_any_record_have_no_known_code():
    groups = lineage.trained_by(["a", "b"], before=["a"], code=CODE, earlier=[])
    assert groups == [{"code": None, "runs": ["a"]}, {"code": CODE, "runs": ["b"]}]
    assert lineage.changed_since(groups, CODE) == [(1, None)]
    assert lineage.changed_since(groups, NEWER) == [(1, None), (1, ["a.py", "b.py"])]
