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
# # 06 · Segment length
#
# **Question.** How long must a segment be for its genre to be recognised?
#
# **Inputs.** Mel spectrograms, cut along time: from audio where nearly all tracks have it, else
# from the data set's own pictures. The part on cutting and loudness needs audio; its rows say on
# how many tracks they rest. **Running time.** Seconds from stored predictions; a few minutes on
# the demo data; some hours on GTZAN with two cores.

# %% tags=["parameters"]
dataset = "demo"
profile = "full"
networks = ["cnn9"]
classical = ["xgboost_mfcc"]
segment_lengths = [1.0, 2.0, 3.0, 5.0, 6.0, 9.0, 10.0, 15.0, 30.0]
audio_systems = ["cnn9_pydub", "cnn9_rms", "cnn_raw"]
audio_lengths = [3.0]
audio_pairs = [["cnn9_rms", "cnn9_pydub"], ["cnn_raw", "cnn9_pydub"]]
protocols = ["segment_random", "track_random", "artist_grouped", "fault_filtered"]
curve_protocols = ["segment_random", "fault_filtered"]
protocol_length = [3.0]
seeds = [0]
n_folds = 5
audio_folds = 5
epochs = None
by_heart_epochs = 24
distance_tracks = 1000
n_boot = 2000

# %%
from genre_utils import datasets, deep, plots_deep, segment_distance, tables_deep, words_deep
from genre_utils.results import Report, prose

data = datasets.load(dataset)
report = Report("06_segment_length", dataset=data, profile=profile)
chance = 1 / len(data.genres)
systems = [*networks, *classical]
leaky = protocols[0]
report.header()

# %% [markdown]
# ## Two effects that look like one
#
# Cut a clip into shorter segments, and two things happen. A short segment says less about its
# genre: a second may hold a single chord. But there are more of them, and those of one track
# resemble each other. If segments are split at random, most test segments have sisters in the
# training part, and the network can recognise the *recording*. So a curve of accuracy against
# length that rests on such a split mixes what a segment tells with what leaks.
#
# We draw the curve twice: where segments are split at random, as in the claims, and where artists
# and faulty tracks are kept apart. And we score it twice: each segment by itself, and a track by
# the vote of those of its segments that are in the test part.
#
# ## The models
#
# Both read cepstral coefficients (MFCC): numbers that describe the outline of the spectrum at
# each moment. The **9-layer CNN** slides filters over them; three of its layers are dense, and
# their size grows with the segment. The classical model sees only mean and spread of each
# coefficient over the segment, so its input is equally small at every length.
#
# Where segments are split at random, pieces of the training tracks are tested, so learning these
# by heart pays, and the network gets more epochs than elsewhere.
#
# The column `published` holds claims as they were handed to this study, with the split that they
# named. No citable source is known for them: they are what is tested here, not evidence.

# %%
report.table(tables_deep.described(systems + audio_systems), "described")

# %%
again = {"seeds": seeds, "n_folds": n_folds, "epochs": epochs}
result = deep.run_networks(
    data,
    [
        deep.Group(networks, protocols[:1], seeds, n_folds, 1, segment_lengths, by_heart_epochs),
        deep.Group(networks, curve_protocols[1:], segment_lengths=segment_lengths, **again),
        deep.Group(networks, protocols[1:], segment_lengths=protocol_length, **again),
        deep.Group(classical, curve_protocols, segment_lengths=segment_lengths, **again),
        deep.Group(classical, protocols, segment_lengths=protocol_length, **again),
        deep.Group(
            audio_systems, protocols, segment_lengths=audio_lengths, folds_run=audio_folds, **again
        ),
    ],
    study=report.notebook,
    outputs=report.outputs,
)
report.keep_predictions()
prose(words_deep.training_time(tables_deep.training_hours(result), len(result.runs)))

# %%
honest = tables_deep.strictest(result, systems)
accuracy = report.table(tables_deep.accuracy(result, data, n_boot=n_boot), "accuracy")
curves = report.table(tables_deep.learning_curves(result), "curves")

# %% [markdown]
# ## The answer in one figure

# %%
report.figure(
    plots_deep.segment_length(accuracy, models=systems, protocols=[leaky, honest], chance=chance),
    "length",
    alt=words_deep.length_alt(accuracy, models=systems, protocols=[leaky, honest]),
)

# %%
prose(
    words_deep.unlike_curves(accuracy, network=systems[0], leaky=leaky, honest=honest)
    + " "
    + words_deep.lengths_left_out(accuracy, models=systems)
)

# %% [markdown]
# Each segment by itself. Behind each accuracy: how many tracks are tested, × how many segments of
# each.

# %% tags=["nbval-check-output"]
tables_deep.by_length(accuracy, models=systems, unit="segment")

# %% [markdown]
# Those of a track's segments that are in the test part, voting together:

# %%
tables_deep.by_length(accuracy, models=systems, unit="track")

# %% [markdown]
# What this data cannot answer, and why:

# %%
tables_deep.reasons(accuracy)

# %% [markdown]
# Is any length better than the others? Where the same tracks are tested, each length is paired with
# the one that has the highest accuracy (`best_s`), per track, under the strictest protocol:

# %%
against_best = tables_deep.against_best_length(
    result, models=systems, protocol=honest, n_boot=n_boot
)
report.table(against_best, "against_best").drop(columns=["model", "n_seeds"]).round(3)

# %% [markdown]
# ## Why the leaky curve looks as it does
#
# Of each track we take two segments and measure how far they are from each other and from all
# others, on the same numbers that the classical model reads. If the nearest segment is one of
# the same track, a nearest neighbour needs no idea of genre. Two things work against each other:
# the longer two segments are, the more they resemble each other; the shorter they are, the more
# of them each track has. The middle panel holds their number fixed, the right one does not.
# Distances are Euclidean, on standardised numbers (the stored table has the correlation distance,
# too).

# %%
distances = segment_distance.study(
    data, segment_lengths, outputs=report.outputs, max_tracks=distance_tracks
)
report.table(distances, "distances")
report.figure(
    plots_deep.distances(distances, title="Segments of one track resemble each other"),
    "distances",
    alt=words_deep.distances_alt(distances),
)

# %% tags=["nbval-check-output"]
distances[distances["distance"] == "euclidean"].round(2)

# %%
prose(words_deep.distance_line(distances))

# %% [markdown]
# ## Genre by genre
#
# Recall under the strictest protocol: all segments of a test track are in the test part there, and
# vote together.

# %%
genres = report.table(tables_deep.by_genre(result, model=systems[0], protocol=honest), "genres")
report.figure(
    plots_deep.genre_by_length(
        genres, title=f"Recall by genre in %: {tables_deep.title(systems[0])}, {honest}"
    ),
    "genres",
    alt=words_deep.genres_alt(genres),
)

# %% [markdown]
# ## What each length costs

# %%
costs = report.table(tables_deep.costs(accuracy, models=systems, protocol=honest), "costs")
report.figure(
    plots_deep.costs(costs, title="Parameters and training time"),
    "costs",
    alt=words_deep.costs_alt(costs),
)

# %%
costs.round(2)

# %% [markdown]
# ## Learning curves

# %%
strict_curves = curves[(curves["protocol"] == honest) & (curves["model"] == systems[0])]
report.figure(
    plots_deep.learning_curves(strict_curves, title=f"Learning curves, {honest}"),
    "curves",
    alt=words_deep.curves_alt(strict_curves),
)

# %%
underfitted = report.table(tables_deep.underfitted(result), "underfitted")
prose(words_deep.underfitting(underfitted))

# %%
underfitted[["title", "segment_s", "protocol", "train_accuracy", "why"]].round(2)

# %% [markdown]
# ## Cut from sound: exact milliseconds, loudness, raw samples
#
# Where there is audio, segments are cut with pydub's `AudioSegment` at exact milliseconds and
# described by MFCCs; then the loudness of each frame (RMS) is put beside them; then a network
# reads the raw samples. The claim is that raw input reaches almost half of what processed input
# does. All rows rest on the tracks with audio; figure and table below score tracks.

# %%
compared = tables_deep.compared(result, audio_pairs, n_boot=n_boot, segment_s=audio_lengths[0])
report.figure(
    plots_deep.differences(compared, title="Loudness and raw samples, against MFCCs alone"),
    "audio",
    alt=words_deep.differences_alt(compared),
)

# %%
report.table(compared, "audio").drop(columns=["model", "baseline"]).round(3)

# %%
raw, processed = audio_pairs[-1]
prose(words_deep.raw_line(accuracy, raw=raw, processed=processed, segment_s=audio_lengths[0]))

# %% tags=["nbval-check-output"]
as_published = accuracy[accuracy["segment_s"].isin(protocol_length)]
board = report.table(tables_deep.systems(as_published), "systems")
board.drop(columns=["training"])

# %%
prose(f"{words_deep.seed_spread(accuracy)} {words_deep.underfitted_numbers(board)}")

# %% [markdown]
# ## Answer

# %%
names = {"network": systems[0], "leaky": leaky, "honest": honest}
prose(words_deep.length_answer(accuracy, distances, against_best, **names))
