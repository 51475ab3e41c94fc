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
# # 09 · Generalization
#
# **Question.** Does it hold on music from elsewhere, and on damaged audio?
#
# **Inputs.** The network that comes with the package (`make bundle` made it), sound of GTZAN's
# validation and test part, whole clips and short excerpts, and a folder of music from elsewhere.
# What is not at hand comes from stored predictions. **Running time.** Seconds from stored
# predictions; a minute on the demo data, most of it to train a network for it; about five minutes
# of processor time on GTZAN.

# %% tags=["parameters"]
dataset = "demo"
profile = "full"
elsewhere = "newdata"
excerpts = "gtzan-short"
known_copies = ["MT0000092267"]
damages = None
most_clips = 200
bundle_epochs = None
n_boot = 2000

# %%
from genre_utils import (
    datasets,
    plots_generalization,
    robustness,
    tables_generalization,
    words_generalization,
)
from genre_utils.results import Report, prose

data = datasets.load(dataset)
report = Report("09_generalization", dataset=data, profile=profile)
report.header()

# %% [markdown]
# ## What is heard
#
# A score on GTZAN's test part, however honest its split, is a score on GTZAN: clips that one
# person collected, in one sound format, around the year 2000. So the shipped network, which anyone
# can use on a file of their own, hears three kinds of music that it was not trained on:
#
# - **whole clips** of the validation and test part, where there is sound and not only a picture;
# - **excerpts** of such clips, a few seconds long;
# - **music from elsewhere**, in some of the same genres: the folder `newdata` below the data
#   folder, unless the parameter `elsewhere` names another. One recording of it, `MT0000092267`, is
#   also in GTZAN (as the fifth hiphop track) and is left out.
#
# The validation part chose when training ended and how sure the network sounds, so the network
# looks better on it than on other music. Clips are compared with damaged copies of themselves,
# which that does not spoil. Where such music stands beside the test part, its name says how many
# of its tracks are of the validation part.

# %%
heard = robustness.run(
    data,
    study=report.notebook,
    outputs=report.outputs,
    elsewhere=elsewhere,
    excerpts=excerpts,
    known_copies=known_copies,
    damages=damages,
    most_clips=most_clips,
    bundle_epochs=bundle_epochs,
)
home = robustness.at_home(heard, report.outputs)
home_name = tables_generalization.home_title(home, data)
report.keep_predictions("bundle", *robustness.studies(data, elsewhere, study=report.notebook))
what = report.table(tables_generalization.what_was_heard(heard, data), "heard")
what.round(1)

# %%
prose(words_generalization.heard_line(what))

# %% [markdown]
# ## Music from elsewhere
#
# The network may answer with any genre it knows, or only with those that the other music has. The
# test part at home comes as a whole, and reduced to these genres: only that is a fair comparison.
# Two intervals: drawing tracks, and drawing whole artists. Macro F1 suffers from each genre that is
# answered but not there, and counts it as zero.

# %% tags=["nbval-check-output"]
accuracy = tables_generalization.accuracy(heard, home, data, n_boot=n_boot, called=home_name)
tables_generalization.accuracy_to_read(report.table(accuracy, "accuracy"))

# %%
prose(words_generalization.accuracy_line(accuracy))

# %% [markdown]
# What each network loses, on the genres that both have; beside the shipped one, those that
# notebook 07 stored predictions of. The bars draw tracks; the sentence below draws artists, too.

# %% tags=["key-figure"]
others = robustness.other_networks(report.outputs)
loss = tables_generalization.home_and_away(
    heard, home, others, data, known_copies=known_copies, n_boot=n_boot
)
report.table(loss, "home_and_away")
names = {"home": home_name, "away": "elsewhere"}
report.figure(
    plots_generalization.home_and_away(loss, **names),
    "home_and_away",
    alt=words_generalization.loss_alt(loss),
)

# %%
prose(words_generalization.loss_line(loss))

# %% [markdown]
# ## Which genres survive the journey?
#
# Recall is the share of a genre's tracks that get its name, when any genre may be named; the
# diamonds say how sure the network was.

# %%
genres = report.table(tables_generalization.by_genre(heard, home), "genres")
report.figure(
    plots_generalization.genres(genres, **names),
    "genres",
    alt=words_generalization.genres_alt(genres),
)

# %%
prose(words_generalization.genres_line(genres))

# %%
report.figure(
    plots_generalization.confusions(
        tables_generalization.confusions(heard, home, called=home_name)
    ),
    "confusion",
    alt="Confusion matrices of the test part at home and of music from elsewhere, where there is "
    "any: true genres as rows, answers as columns, each row as shares.",
)

# %% [markdown]
# ## Is it as right as it is sure?
#
# Probabilities were calibrated on the validation part. Below the dotted line the network claims
# more than it knows.

# %%
steps = tables_generalization.reliability(heard, home, called=home_name)
report.figure(
    plots_generalization.reliability(report.table(steps, "reliability")),
    "reliability",
    alt=words_generalization.calibration_alt(accuracy),
)

# %%
prose(words_generalization.calibration_line(accuracy))

# %% [markdown]
# ## Is it better to say nothing?
#
# Whoever uses a network may leave unsure answers out. The further left, the fewer clips are
# answered, the surest first. A line that does not rise to the left says that confidence does not
# tell right from wrong there; but a few clips more or less move its left end far.

# %%
silence = tables_generalization.abstention(heard, home, n_boot=n_boot, called=home_name)
report.table(silence, "abstention")
curves = tables_generalization.coverage(heard, home, called=home_name)
report.figure(
    plots_generalization.coverage(curves, thresholds=tables_generalization.THRESHOLDS),
    "coverage",
    alt=words_generalization.coverage_alt(silence),
)

# %%
tables_generalization.abstention_to_read(silence)

# %%
prose(words_generalization.abstention_line(silence))

# %% [markdown]
# ## Damaged sound
#
# Music reaches a listener through codecs, telephones, other people's loudspeakers, or a little too
# fast. Each clip is damaged in one way at a time, and the network's answer is compared with the one
# to the same clip undamaged. Noise is white, that many decibels softer than the music (0 dB: as
# loud as the music); excerpts come from the middle; other pitch and speed by a phase vocoder; MP3
# of one channel at 22,050 Hz; 8,000 Hz: the clip sampled at that rate, so that no sound above half
# of it is left.
# Every hearing of a test clip counts as a use of the test part. No interval is corrected for the
# number of comparisons.

# %%
cost = report.table(tables_generalization.damages(heard, n_boot=n_boot), "damages")
report.figure(
    plots_generalization.damages(cost), "damages", alt=words_generalization.damages_alt(cost)
)

# %%
prose(words_generalization.damage_line(cost))

# %%
tables_generalization.damages_to_read(cost)

# %%
prose(words_generalization.steady_line(cost))

# %% [markdown]
# The spectrogram that the network reads, that of GTZAN's pictures, is scaled from the quietest to
# the loudest point of a clip. That may explain much, though it was not measured: noise, and the
# distortion of a clip that is too loud, lift the quietest point; a band without sound (a telephone,
# a low sample rate) pulls it down; and each time every level in the picture moves.
#
# Does the network notice?

# %%
prose(words_generalization.warned_line(cost))

# %% [markdown]
# ## Covers, live takes, other arrangements
#
# To ask the same of music of your own, put it into a folder with one sub-folder a genre (named
# as here: blues, classical, ...). A `tracks.csv` in that folder with the columns `filename` and
# `kind` tells covers, live takes, genre-swapped songs or downloads apart (a column `artist` adds
# intervals over artists). Then `make 09 DATASET=/path/to/folder` makes this page for it, and what
# is "elsewhere" above is your folder. `python -m genre_utils collect` cuts such clips from whole
# songs and keeps the kinds.

# %%
by_kind = report.table(tables_generalization.by_kind(heard, n_boot=n_boot), "kinds")
prose(words_generalization.kinds_line(by_kind))

# %% [markdown]
# ## Consent, bias and privacy
#
# **Consent.** Nobody asked the musicians in GTZAN, and no licence is stated. That is why this
# project ships no clip, no picture and no feature of them, only what was learnt and what was
# predicted. If you classify recordings of others, ask what they agreed to: a licence to listen is
# not a licence to train.
#
# **Bias.** A genre is an agreement between people, and the people who labelled GTZAN were few. Its
# network forces every tradition it has not met into one of its genres, and does not treat those
# that it knows alike:

# %%
prose(words_generalization.bias_line(genres))

# %%
prose(words_generalization.artists_line(data))

# %% [markdown]
# So a network may know a voice rather than a genre. It is no judge of quality, and no ground for
# a decision about people or their work; the figures above say how often it would be wrong.
#
# **Privacy.** A recording may hold voices of people who did not mean to be analysed, and a list of
# someone's music says much about them. Everything here runs on your own computer: the command line
# sends nothing, and the demo page listens to that computer alone and keeps no upload. The results
# of this notebook hold track names and answers; artists are numbered, not named. Before you share
# results on a folder of your own, look at what its file names give away.

# %% [markdown]
# ## How often was the test part looked at?

# %%
tables_generalization.uses(report.outputs, report.notebook)

# %% [markdown]
# ## Answer

# %%
prose(words_generalization.answer(accuracy, loss, cost))
