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
# # 04 · Multimodal networks
#
# **Question.** What does each view of the sound know alone (waveform, zero-crossing rate, mel
# spectrogram, cepstral coefficients), and does joining two of them help?
#
# **Inputs.** Spectrograms: from audio where nearly all tracks have it, else from the data set's
# own pictures. Waveform and zero-crossing pictures need audio; their rows say on how many tracks
# they rest. **Running time.** Seconds from stored predictions; a few minutes on the demo data;
# some hours on GTZAN with two cores.

# %% tags=["parameters"]
dataset = "demo"
profile = "full"
systems = ["resnet18_mel", "resnet18_mfcc", "lstm_mfcc", "fusion"]
audio_systems = ["resnet18_waveform", "resnet18_zcr"]
ablations = ["fusion_gated", "fusion_tabular"]
protocols = ["segment_random", "track_random", "artist_grouped", "fault_filtered"]
ablation_protocols = ["fault_filtered"]
branches = ["resnet18_mel", "lstm_mfcc"]
joined = "fusion"
claimed_gain = 0.10
seeds = [0, 1, 2]
n_folds = 10
audio_folds = 5
epochs = None
n_boot = 2000

# %%
from genre_utils import (
    averaging,
    datasets,
    deep,
    evaluation,
    explain,
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
report = Report("04_multimodal", dataset=data, profile=profile)
chance = 1 / len(data.genres)
report.header()

# %% [markdown]
# ## Four pictures of one sound
#
# A network cannot hear. It reads numbers, and what it can learn depends on which numbers we
# give it. Below is a made-up sound of three parts: a steady tone with overtones, a tone that
# rises, and noise in beats.
#
# - The **waveform** shows loudness over time, so the beats stand out. Both tones fill the same
#   area: pitch is lost.
# - The **zero-crossing rate** follows the rise and jumps up with noise. It is one number a
#   moment: two notes at once cannot be told from one.
# - The **mel spectrogram** shows how much energy each band of frequencies has at each moment,
#   low bands at the bottom, bands as wide as the ear's. Tone, rise and beats are all there.
# - The **cepstral coefficients** (MFCC) describe the outline of each column of the mel
#   spectrogram, from coarse to fine. They keep the timbre and drop most of the pitch.

# %%
report.figure(
    plots_deep.representations(explain.pictures(), seconds=explain.SECONDS),
    "representations",
    alt="One made-up sound of three parts as waveform, zero-crossing rate, mel spectrogram and "
    "cepstral coefficients: only the spectrogram shows tone, rise and beats at once.",
)

# %% [markdown]
# ## The networks
#
# **ResNet18** is a stack of convolutions: small filters that slide over a picture and answer
# where they find their pattern. Later filters look at the answers of earlier ones, and shortcuts
# around each pair let the training signal pass. It was made for photographs. Where its weights
# from ImageNet can be had, training begins with them; the column `pretrained` says which.
#
# An **LSTM** reads a series step by step and carries a memory along: gates decide at each step
# what is kept, added and shown. Its last state answers.
#
# The **joined** network runs ResNet18 on the mel picture beside the LSTM on the series, puts the
# two vectors side by side, and lets one dense layer decide. It has the same budget of epochs as
# each branch alone. Two variants stand apart below: one weighs the two vectors by a learnt gate,
# the other has a third branch for the hand-made features.
#
# The column `published` holds claims as they were handed to this study, with the split that they
# named. No citable source is known for them: they are what is tested here, not evidence.

# %%
report.table(tables_deep.described(audio_systems + systems + ablations), "described")

# %% [markdown]
# ## Training
#
# Every network has a fixed budget of epochs. Where the data set has a published validation part,
# the epoch with the lowest validation loss is kept; the test part is predicted once, after that.
# Whole clips cannot be split by segments, so under `segment_random` networks on spectrograms read
# shorter pieces of each clip. Under the fault-filtered split each network is trained once for
# each seed. The random protocols predict one test part, as in the claims; the two networks that
# need audio, and have few tracks where audio is scarce, predict every fold.

# %%
result = deep.run_networks(
    data,
    [
        deep.Group(systems, protocols, seeds, n_folds=n_folds, epochs=epochs),
        deep.Group(
            audio_systems, protocols, seeds, audio_folds, folds_run=audio_folds, epochs=epochs
        ),
        deep.Group(ablations, ablation_protocols, seeds[:1], n_folds, epochs=epochs),
    ],
    study=report.notebook,
    outputs=report.outputs,
)
report.keep_predictions()
prose(words_deep.training_time(tables_deep.training_hours(result), len(result.runs)))

# %% [markdown]
# Averaging the probabilities of two networks is the simplest way to join them ("late fusion"):
# nothing is trained anew. These rows are added to the trained ones.

# %%
result = averaging.with_averages(result, [branches], over_seeds=[joined])
protocol = tables_deep.strictest(result, systems)
accuracy = report.table(tables_deep.accuracy(result, data, n_boot=n_boot), "accuracy")
curves = report.table(tables_deep.learning_curves(result), "curves")

# %% [markdown]
# ## Learning curves
#
# Training accuracy is measured on the batches while the weights change. Where validation stays
# far below, the network learns its training tracks **by heart**: it answers for the very items that
# it was trained on, and little of that holds for others.

# %%
strict_curves = curves[curves["protocol"] == protocol]
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
# ## Each view alone, and both
#
# Scored per segment where segments are split at random, per track elsewhere, with intervals by
# bootstrap over tracks. Rows on fewer tracks cannot be ranked with the others. `seeds` says how
# many seeds a number is the mean of. Training accuracy (of the kept weights, on unaltered items),
# parameters, MB and training time are those under the strictest protocol of a row.

# %% tags=["key-figure"]
shown = tables_deep.as_the_field_scores(accuracy, models=audio_systems + systems)
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
# What this data cannot answer, and why:

# %%
tables_deep.reasons(accuracy)

# %% [markdown]
# ## Does joining help?
#
# The hypothesis that was handed to this study says that joining gains ten percentage points over
# the better branch.
# Which branch is the better one, the validation part decides. Each row compares the same test
# tracks: the interval is a bootstrap over tracks, the p-value McNemar's exact test. Only seeds that
# both systems have count (`n_seeds`); accuracies and their difference are means over them.
# McNemar's test needs one answer a track, so the seeds' probabilities are averaged for it, which
# changes some answers: difference and p-value then speak of slightly different things.

# %%
fusion = tables_deep.fusion(
    result, joined=joined, branches=branches, n_boot=n_boot, claim=claimed_gain
)
report.figure(
    plots_deep.differences(fusion, title="Joined against each branch", claim=claimed_gain),
    "fusion",
    alt=words_deep.differences_alt(fusion),
)

# %% tags=["nbval-check-output"]
report.table(fusion, "fusion").drop(columns=["model", "baseline"]).round(3)

# %%
prose(words_deep.fusion_answer(fusion))

# %% [markdown]
# ## Other ways of joining
#
# Averaged predictions, a learnt gate, and a third branch with the hand-made features, each
# against the joined network with the same seeds. A variant with fewer seeds meets another mean of
# the joined network (`n_seeds`):

# %%
ways = [[" + ".join(branches), joined], ["fusion_gated", joined], ["fusion_tabular", joined]]
compared = tables_deep.compared(result, ways, n_boot=n_boot)
report.figure(
    plots_deep.differences(compared, title="Other ways of joining, against joined vectors"),
    "joining",
    alt=words_deep.differences_alt(compared),
)

# %%
report.table(compared, "joining").drop(columns=["model", "baseline"]).round(3)

# %%
prose(words_deep.one_seed_line(compared, accuracy))

# %% [markdown]
# ## Which genres are confused?
#
# The network shown is the one with the best validation accuracy; the test part had no say.

# %%
best = words_deep.best_row(accuracy, protocol=protocol, models=systems)
rows = tables.to_tracks(tables.predictions_of(result, protocol=protocol, model=best["model"]))
report.table(evaluation.confusion(rows).reset_index(), "confusion")
report.figure(
    plots.confusion_matrices({f"{best['title']}, {protocol}": evaluation.confusion(rows)}),
    "confusion",
    alt=f"Confusion matrix of {best['title']} under {protocol}, each row a true genre.",
)

# %%
recall = report.table(evaluation.recall_by_genre(rows), "recall")
report.figure(
    plots.recall_and_confidence(recall, title=f"{best['title']}: recall and confidence by genre"),
    "recall",
    alt=words.recall_alt(recall),
)

# %% [markdown]
# ## What does the network listen to?
#
# A patch of the spectrogram is hidden, and the network predicts again. Red: the probability of
# the true genre falls, so the patch speaks for it. Blue: it rises, so the patch speaks against
# it. The tracks are from the validation part, where there is one. An LSTM answers with its last
# state, so what comes last may weigh most.

# %%
heard = tables_deep.heard(result, [joined, *branches])
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
    words_deep.multimodal_answer(
        accuracy, fusion, systems=audio_systems + systems, protocol=protocol
    )
)
