# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03 · Baselines and the leakage ladder
#
# **Question.** How far do classical models get on 57 hand-made features, at which segment
# length, and how much of that is leakage?
#
# **Inputs.** The feature tables of notebook 02. **Running time.** Seconds from stored
# predictions; minutes on the demo data; at most an hour on GTZAN with two cores.
#
# Many GTZAN studies cut each 30-second clip into segments and split them at random. Then
# segments of one track, or tracks of one artist, stand on both sides of the split, and a
# model may recognise the *recording* instead of the *genre*. We train the same models under
# four protocols, each stricter than the one before:
#
# | protocol | what is kept apart | what can still leak |
# |---|---|---|
# | `segment_random` | nothing: segments are split at random | the same track, the same artist |
# | `track_random` | the segments of a track stay together | the same artist, repeated recordings |
# | `artist_grouped` | the tracks of an artist stay together | mislabelled and damaged tracks |
# | `fault_filtered` | the published split without known faults | one artist stands on both sides |

# %% tags=["parameters"]
dataset = "demo"
profile = "full"
segment_lengths = [30.0, 10.0, 3.0]
protocols = ["segment_random", "track_random", "artist_grouped", "fault_filtered"]
models = ["knn_1", "knn", "svm_c10", "svm", "logistic", "tree", "forest", "xgboost", "mlp"]
n_folds = 5
n_trials = 20
seed = 0
ladder_segment_s = 10.0
fair_models = ["knn_1", "svm_c10"]
fair_seeds = [0, 1, 2, 3, 4]
importance_models = ["svm", "forest"]
importance_segment_s = 30.0
n_boot = 2000

# %%
from genre_utils import datasets, evaluation, experiments, plots, tables, words
from genre_utils.models.classical import CLASSICAL
from genre_utils.results import Report, prose

data = datasets.load(dataset)
report = Report("03_baselines", dataset=data, profile=profile)
chance = 1 / len(data.genres)
report.header()

# %% [markdown]
# ## The models
#
# Two models are left as they come, as a reference for the tuned ones: `knn_1` and
# `svm_c10`. The others are tuned twice, by a grid and by Bayesian optimisation, with equally
# many settings. Both searches see the training part only, in three inner folds that keep
# artists apart. The better score on those folds wins; then the model is trained on the whole
# training part and predicts the test part once.

# %%
tables.models(models)

# %%
result = experiments.run_classical(
    data,
    study=report.notebook,
    outputs=report.outputs,
    models=models,
    segment_lengths=segment_lengths,
    protocols=protocols,
    n_folds=n_folds,
    n_trials=n_trials,
    seed=seed,
    importance_models=importance_models,
    importance_segment_s=importance_segment_s,
    fair_models=fair_models,
    fair_segment_s=ladder_segment_s,
    fair_seeds=fair_seeds,
)
report.keep_predictions()
accuracy = report.table(tables.accuracy(result, data, n_boot=n_boot, stage="final"), "accuracy")
report.table(tables.chosen_parameters(result), "runs")
prose(
    "{n} runs are stored. Their searches and trainings took {minutes:.0f} minutes of "
    "processor time.",
    n=len(result.runs),
    minutes=tables.cpu_minutes(result),
)

# %%
prose(words.counted_uses(report.read("test_uses"), result.runs, study=report.notebook))

# %% [markdown]
# ## The leakage ladder, as the field splits
#
# Same features, same untuned models, scored per segment. Only the split differs.

# %%
ladder = tables.ladder(accuracy, models=fair_models, segment_s=ladder_segment_s)
report.figure(
    plots.ladders({"As the field splits": ladder}, chance=chance),
    "ladder",
    alt=words.ladder_alt(ladder, "per segment, as the field splits"),
)

# %% tags=["nbval-check-output"]
tables.wide(report.table(ladder, "ladder"), unit="segment")

# %% [markdown]
# ## The fair ladder
#
# Part of that fall has nothing to do with leakage: stricter protocols also train on fewer
# tracks and test on other ones. Here every protocol predicts the *same* test items (the
# fault-filtered test part) from *equally many* training items of each genre. What still falls
# is mostly leakage: the training tracks are other ones, and little else differs.

# %%
fair_accuracy = tables.accuracy(result, data, n_boot=n_boot, stage="fair")
fair = tables.ladder(fair_accuracy, models=fair_models, segment_s=ladder_segment_s)
report.figure(
    plots.ladders({"Same test items, same training size": fair}, chance=chance),
    "ladder_fair",
    alt=words.ladder_alt(fair, "per segment, same test items and training size"),
)

# %% tags=["nbval-check-output"]
tables.wide(report.table(fair, "ladder_fair"), unit="segment")

# %%
prose(words.ladder_fall(ladder, fair, model=fair_models[0]))

# %% [markdown]
# ## All models
#
# Intervals are bootstraps over tracks (a track's segments are drawn together). A dash in the
# table says that this data cannot answer; the reason stands below it.

# %% tags=["key-figure"]
shown = accuracy[(accuracy["segment_s"] == ladder_segment_s) & (accuracy["unit"] == "segment")]
report.figure(
    plots.accuracy_intervals(
        shown, title=f"All models, {ladder_segment_s:g}-s segments, by protocol", chance=chance
    ),
    "models",
    alt=words.models_alt(shown),
)

# %%
tables.wide(accuracy, unit="segment")

# %% [markdown]
# Macro F1 (the mean over the genres, each counting the same):

# %%
tables.wide(accuracy, unit="segment", value="macro_f1")

# %% [markdown]
# What this data cannot answer, and why:

# %%
tables.reasons(accuracy)

# %% [markdown]
# ## How long should a segment be?
#
# Votes of a track's segments are added up, so every row is one answer a track. Rows from
# `table` and from `audio` may rest on different numbers of tracks and cannot be compared.

# %%
tables.wide(accuracy, unit="track")

# %% [markdown]
# ## Training, validation, test
#
# Training accuracy says little. Validation accuracy comes from inner folds, which keep artists
# apart; where a test does not, the test is the easier one.

# %%
protocol = tables.strictest(result)
tables.three_parts(accuracy, segment_s=ladder_segment_s)

# %%
prose(words.validation(accuracy, segment_s=ladder_segment_s))

# %% [markdown]
# ## Grid search or Bayesian optimisation?

# %%
searches = report.table(tables.searches(result), "searches")
prose(words.search_winner(searches))

# %%
tables.search_summary(searches)

# %% [markdown]
# ## Which genres are confused?
#
# The model shown is the one with the best *validation* accuracy under the strictest
# protocol; the test part had no say in that.

# %%
best = tables.best_by_validation(result, protocol=protocol)
setting = {name: best[name] for name in ("model", "source", "segment_s")}
rows = tables.to_tracks(tables.predictions_of(result, protocol=protocol, **setting))
first = fair_models[0]
leaky = tables.predictions_of(result, protocol="segment_random", segment_s=ladder_segment_s)
leaky = leaky[leaky["model"] == first]
matrices = {
    f"{CLASSICAL[model].title}, {how}": evaluation.confusion(of_model)
    for model, how, of_model in (
        (first, "segments at random", leaky),
        (best["model"], f"{protocol}, per track", rows),
    )
    if len(of_model)
}
report.table(evaluation.confusion(rows).reset_index(), "confusion")
report.figure(
    plots.confusion_matrices(matrices),
    "confusion",
    alt=words.confusion_alt(matrices),
)

# %%
recall = report.table(evaluation.recall_by_genre(rows), "recall")
report.figure(
    plots.recall_and_confidence(
        recall, title=f"{CLASSICAL[best['model']].title}: recall and confidence by genre"
    ),
    "recall",
    alt=words.recall_alt(recall),
)

# %%
report.table(evaluation.confused_pairs(rows), "confused_pairs")

# %% [markdown]
# ## Which features matter?
#
# Each feature is shuffled across the test items ten times; the bar is the accuracy lost, the
# line spans the 10th to 90th percentile. Correlated features stand in for each other, so a
# small bar does not mean that a feature is useless.

# %%
importance = report.table(tables.importance(result), "importance")
report.figure(
    plots.importance(importance, title=words.importance_title(importance)),
    "importance",
    alt=words.importance_alt(importance),
)

# %%
prose(words.importance(importance))

# %% [markdown]
# ## Does a better model beat the untuned SVM?

# %% tags=["nbval-check-output"]
untuned = "svm_c10"
against = tables.against_baseline(
    result, protocol=protocol, baseline=untuned, segment_s=best["segment_s"], n_boot=n_boot
)
report.table(against, f"against_{untuned}")

# %%
prose(words.against_baseline(against, baseline=untuned))

# %% [markdown]
# ## Answer

# %%
prose(words.baseline_answer(accuracy, ladder, fair, best=best, protocol=protocol))
