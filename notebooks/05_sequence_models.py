# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 · Sequence models
#
# **Question.** How far do networks get that are trained from scratch on spectrograms: CNN,
# CNN-LSTM, CNN-GRU, attention, a transformer, a VGG-like network, ResNets, and their ensemble?
# How much of what is claimed of them is leakage?
#
# **Inputs.** Mel spectrograms: from audio where nearly all tracks have it, else from the data
# set's own pictures. **Running time.** Seconds from stored predictions; a few minutes on the demo
# data; several hours on GTZAN with two cores.

# %% tags=["parameters"]
dataset = "demo"
profile = "full"
chunk_systems = ["cnn", "cnn_lstm", "cnn_gru"]
mixed_systems = ["cnn_lstm_mixup", "cnn_gru_mixup", "cnn_levels_mixup"]
whole_systems = ["attention", "transformer", "vgg", "resnet18_colour"]
ablations = ["resnet_small_plain", "resnet_small_crops", "resnet_small_equaliser",
             "resnet_small_specaugment", "resnet_small_mixup"]  # fmt: skip
unchanged = "resnet_small_plain"
all_changes = "resnet_small_short"
protocols = ["segment_random", "track_random", "artist_grouped", "fault_filtered"]
ensembles = [
    ["cnn", "cnn_lstm", "cnn_gru"], ["cnn_lstm_mixup", "cnn_gru_mixup"],
    ["cnn_lstm_mixup", "cnn_gru_mixup", "cnn_levels_mixup"],
    ["cnn", "cnn_lstm", "cnn_gru", "resnet_small"],
]  # fmt: skip
recurrent = ["cnn_lstm", "cnn_gru"]
best_single = "resnet_small"
cross_validated = ["vgg"]
seeds = [0, 1, 2]
n_folds = 5
epochs = None
random_epochs = 30
by_heart_epochs = 24
mixed_epochs = 48
leaky_epochs = 20
budget_system = "resnet18_colour_small"
budget_epochs = [4, 8]
budget_learning_rates = [1e-3, 1e-4]
budget_batch_sizes = [16, 64]
n_boot = 2000

# %%
from genre_utils import (
    averaging,
    datasets,
    deep,
    evaluation,
    inputs,
    plots,
    plots_deep,
    tables,
    tables_deep,
    words,
    words_deep,
)
from genre_utils.results import Report, prose

data = datasets.load(dataset)
report = Report("05_sequence_models", dataset=data, profile=profile)
chance = 1 / len(data.genres)
systems = [*chunk_systems, *mixed_systems, *whole_systems]
report.header()

# %% [markdown]
# ## What the networks see
#
# All of them read a mel spectrogram: how much energy each band of frequencies has at each moment,
# low bands first. The sequence models of the claims take log-mel spectrograms (`n_fft=1024`,
# `hop_length=256`, `n_mels=128`) of ten equal chunks of 66,000 samples. From audio we take the
# same frames and average four in a row. Where only pictures are there, the nearest equivalent is
# read off them: fewer bands, 16 or 17 columns a second, ten chunks of three seconds.
#
# ## The networks
#
# - A **CNN** slides small filters over the spectrogram and sums up over time what they found. It
#   does not care in which order that happened.
# - **CNN-LSTM** and **CNN-GRU** hand the filters' answers, moment by moment, to a recurrent layer
#   that carries a memory along. A GRU has fewer gates than an LSTM, so fewer weights.
# - The **CNN over time** has filters as high as the spectrogram and hears the mean, maximum and
#   deviation of each of its levels, from the bands of the spectrogram on.
# - **Attention pooling** learns how much each moment counts before the moments are averaged. A
#   **transformer** lets every moment look at all others.
# - The **VGG-like** network and the **modified ResNet18** look at the whole clip as at a
#   photograph, the latter in colour and with dropout (units switched off at random in training).
# - The **small ResNet** is our own: no early stride, few weights, and training data that never
#   look the same twice. In folds inside the training part it is the best of our networks (07).
#
# The column `published` holds claims as they were handed to this study, with the split that they
# named. No citable source is known for them: they are what is tested here, not evidence.

# %%
report.table(tables_deep.described([*systems, best_single, *ablations, all_changes]), "described")

# %% [markdown]
# ## Training data that never look the same twice
#
# With a few hundred tracks a network can learn its training part **by heart**: it answers for the
# very items that it was trained on, and little of that holds for others. **Random crops** show
# another piece of a track in each epoch, a random **equaliser** sounds like another room or another
# master, **SpecAugment** hides bands and moments, and **mixup** blends two tracks and their labels.
# Whether that helps is measured below.
#
# ## Training
#
# As in notebook 04, every network has a fixed budget of epochs, and a published validation part
# chooses the epoch. Some networks are trained again without that
# choice (the last epoch counts), and on training and validation part together ("refit"). Whole
# clips cannot be split by segments, so under `segment_random` such networks read shorter pieces;
# the small ResNet is also trained on pieces as short as those of the claims. With more tracks to
# train on, it gets fewer epochs under the random protocols. The chunk networks get more of them
# where segments are split at random: there, learning the training part by heart pays, since pieces
# of the same tracks are tested. Some are trained for longer still on chunks that mixup blends:
# these are harder to learn by heart.

# %%
again = {"n_folds": n_folds, "epochs": epochs}
best = [best_single]
result = deep.run_networks(
    data,
    [
        deep.Group(chunk_systems, protocols[:1], seeds, n_folds, epochs=by_heart_epochs),
        deep.Group(mixed_systems, protocols[:1], seeds, n_folds, epochs=mixed_epochs),
        deep.Group([*chunk_systems, *mixed_systems], protocols[1:], seeds, **again),
        deep.Group(whole_systems, protocols, seeds, **again),
        deep.Group(cross_validated, ["track_random"], seeds, folds_run=n_folds, **again),
        deep.Group(best, protocols[:2], seeds, n_folds, epochs=random_epochs),
        deep.Group(best, protocols[:1], seeds, n_folds, 1, [3.0], leaky_epochs),
        deep.Group(best, protocols[2:], seeds, **again),
        deep.Group([*ablations, all_changes], protocols[-1:], seeds[:1], **again),
        deep.Group(chunk_systems, protocols[-1:], seeds[:1], stage="last", **again),
        deep.Group(best, protocols[-1:], seeds[:1], stage="refit", **again),
    ],
    study=report.notebook,
    outputs=report.outputs,
)
report.keep_predictions()
prose(words_deep.training_time(tables_deep.training_hours(result), len(result.runs)))

# %%
result = averaging.with_averages(result, ensembles, over_seeds=[best_single])
protocol = tables_deep.strictest(result, systems)
accuracy = report.table(tables_deep.accuracy(result, data, n_boot=n_boot), "accuracy")
curves = report.table(tables_deep.learning_curves(result), "curves")

# %% [markdown]
# ## Learning curves
#
# Training accuracy is measured on augmented batches while the weights change (notebook 04). Under
# mixup an answer counts as right if it names the track with the greater share of the blend, which
# is hard to hear where both shares are alike.

# %%
strict_curves = curves[(curves["protocol"] == protocol) & curves["model"].isin([*systems, *best])]
report.figure(
    plots_deep.learning_curves(strict_curves, title=f"Learning curves, {protocol}"),
    "curves",
    alt=words_deep.curves_alt(strict_curves),
)

# %%
underfitted = report.table(tables_deep.underfitted(result), "underfitted")
prose(words_deep.underfitting(underfitted))

# %%
underfitted[["title", "protocol", "stage", "train_accuracy", "why"]].round(2)

# %% [markdown]
# ## Every system under every protocol
#
# Scored as in notebook 04: per segment where segments are split at random, per track elsewhere.
# `seeds` and training accuracy mean the same as there.

# %% tags=["key-figure"]
shown = tables_deep.as_the_field_scores(accuracy, models=[*systems, best_single])
report.figure(
    plots.accuracy_intervals(shown, title="Every system, by protocol", chance=chance),
    "systems",
    alt=words_deep.systems_alt(shown),
)

# %% tags=["nbval-check-output"]
board = report.table(tables_deep.systems(accuracy), "systems")
board.drop(columns=["parameters", "MB", "training"])

# %%
prose(f"{words_deep.seed_spread(accuracy)} {words_deep.underfitted_numbers(board)}")

# %%
board[["system", "parameters", "MB", "training"]]

# %% [markdown]
# What this data cannot answer, or was not run, and why:

# %%
tables_deep.reasons(accuracy)

# %%
prose(words_deep.against_published(accuracy, model=recurrent[-1]))

# %% [markdown]
# ## LSTM or GRU?
#
# How many epochs, and how many seconds, until a network reaches most of the validation accuracy
# that its kept weights have.

# %%
convergence = report.table(tables_deep.convergence(result, recurrent), "convergence")
convergence.drop(columns="model").round(2)

# %%
prose(words_deep.convergence_line(convergence))

# %% [markdown]
# ## With and without a validation part
#
# A validation part costs training data and buys a stopping point. Each row compares one system
# with itself, trained with the same seeds (`seeds`) and the best epoch on the validation part
# kept (`accuracy_against`), per track. Where that epoch was the last one, both are the
# `same_network`:

# %%
of_validation = report.table(tables_deep.validation_part(result, n_boot=n_boot), "validation_part")
of_validation.drop(columns="model").round(3)

# %%
prose(words_deep.validation_part_line(of_validation, protocol=protocol))

# %% [markdown]
# ## What is each change of the training data worth?
#
# The small ResNet with crops, with crops and one more change each, and with all changes, against
# the one without any. Every one has the same short budget (`described` says how many epochs). It
# may favour few changes: what a network never sees twice takes longer to learn.

# %%
pairs = [[name, unchanged] for name in [*ablations, all_changes] if name != unchanged]
compared = tables_deep.compared(result, pairs, n_boot=n_boot)
report.figure(
    plots_deep.differences(compared, title="Changed training data, against unchanged"),
    "ablations",
    alt=words_deep.differences_alt(compared),
)

# %%
report.table(compared, "ablations").drop(columns=["model", "baseline"]).round(3)

# %%
names = {"unchanged": unchanged, "all_changes": all_changes, "best": best_single}
prose(words_deep.ablation_line(compared, accuracy, **names))

# %%
prose(words_deep.one_seed_line(compared, accuracy))

# %% [markdown]
# ## Epochs, learning rate, batch size
#
# The study of the budget of the modified ResNet18, in small: one setting is changed at a time, on
# pictures with a sixteenth of the pixels. Every setting is scored on the validation part; no test
# part is looked at.

# %%
budget = deep.budget_study(
    data,
    system=budget_system,
    epochs=budget_epochs,
    learning_rates=budget_learning_rates,
    batch_sizes=budget_batch_sizes,
    study=report.notebook,
    outputs=report.outputs,
)
report.keep_predictions(f"{report.notebook}_budget")
report.table(budget.drop(columns="key", errors="ignore"), "budget").round(4)

# %%
prose(words_deep.budget_line(budget))

# %% [markdown]
# ## Which genres are confused?
#
# The network shown is our own small ResNet, under the leakiest and the strictest protocol.

# %%
rows = tables.to_tracks(tables.predictions_of(result, protocol=protocol, model=best_single))
matrices = tables_deep.confusions(result, model=best_single, protocols=[protocols[0], protocol])
report.table(evaluation.confusion(rows).reset_index(), "confusion")
report.figure(
    plots.confusion_matrices(matrices),
    "confusion",
    alt=f"Confusion matrices of our own network: {'; '.join(matrices)}.",
)

# %%
recall = report.table(evaluation.recall_by_genre(rows), "recall")
report.figure(
    plots.recall_and_confidence(recall, title="Recall and confidence by genre"),
    "recall",
    alt=words.recall_alt(recall),
)

# %% [markdown]
# The most frequent mistakes. Every seed answers for every test track, so a genre has more answers
# than tracks: `n` of its `n_answers` answers were this mistake.

# %%
report.table(tables_deep.confused_pairs(rows), "confused_pairs").round(2)

# %% [markdown]
# ## What does the network listen to?
#
# Patches of the spectrogram are hidden, as in notebook 04. Red: the patch speaks for the true
# genre. Blue: it speaks against it.

# %%
heard = tables_deep.heard(result, [best_single, *systems])
band_hz = inputs.mel_centres(inputs.N_MELS)
report.figure(
    plots_deep.occlusion(heard, band_hz=band_hz, title=words_deep.occlusion_title(heard)),
    "heard",
    alt=words_deep.occlusion_alt(heard),
)

# %%
prose(words_deep.occlusion_line(heard, band_hz=band_hz))

# %% [markdown]
# ## Answer

# %%
prose(
    words_deep.sequence_answer(
        accuracy, systems=[*systems, best_single], protocol=protocol, best=best_single
    )
)

# %%
prose(words_deep.leakage_line(accuracy, models=chunk_systems, leaky=protocols[0], honest=protocol))
