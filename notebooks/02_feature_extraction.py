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
# # 02 · Feature extraction
#
# **Question.** Which features are taken, what do they look like, and what do they cost?
#
# **Inputs.** The sound files, or the data set's own feature tables where they cover at least
# as many tracks. **Running time.** A minute or two the first time; a second run reads the
# cache.

# %% tags=["parameters"]
dataset = "demo"
profile = "full"
segment_lengths = [30.0, 10.0, 3.0]
gallery_seconds = 10.0
n_repeats = 5
n_compared = 20
large_collection = 106_574
large_cores = 16

# %%
from genre_utils import datasets, feature_report, features, plots, words
from genre_utils.results import Report, prose

data = datasets.load(dataset)
report = Report("02_feature_extraction", dataset=data, profile=profile)
report.header()

# %% [markdown]
# ## From sound to spectrogram
#
# A network reads a **log-mel spectrogram**: the energy in bands, here 128, that are spaced as the
# ear spaces pitches, frame by frame, in decibels, cut off 80 dB below the loudest point. One clip
# of each genre:

# %%
clips = feature_report.example_clips(data, seconds=gallery_seconds)
mels = {genre: features.log_mel(y, sr=features.SR) for genre, y in clips.items()}
report.figure(
    plots.series_gallery(
        feature_report.below_loudest(mels),
        seconds=gallery_seconds,
        ylabel="mel band",
        unit="dB, loudest point = 0",
        limits=(-80, 0),
    ),
    "log_mel",
    alt=words.gallery_alt("Log-mel spectrograms", mels, gallery_seconds),
)

# %% [markdown]
# Beats are vertical lines, held notes horizontal ones; noise and distortion fill the picture.
#
# ## MFCC series
#
# Thirteen **mel-frequency cepstral coefficients** describe the shape of each frame's spectrum:
# the first its loudness, the next ones its broad outline. The recurrent networks of later
# notebooks read these series. Each coefficient is shown on its own scale (z-score; red: above
# its mean over the clip).

# %%
series = {genre: features.mfcc_series(y, sr=features.SR).T for genre, y in clips.items()}
report.figure(
    plots.series_gallery(
        feature_report.standardised_rows(series),
        seconds=gallery_seconds,
        ylabel="MFCC number",
        unit="z-score",
        limits=(-3, 3),
        colours="RdBu_r",
    ),
    "mfcc",
    alt=words.gallery_alt("MFCC series", series, gallery_seconds),
)

# %% [markdown]
# ## The 57 tabular features
#
# For classical models a segment becomes 57 numbers: the mean and the variance of 28 series,
# and the tempo.

# %% tags=["nbval-check-output"]
feature_report.feature_meanings()

# %%
tables = feature_report.feature_tables(data, segment_lengths)
coverage = report.table(feature_report.coverage(tables, segment_lengths), "coverage")
coverage

# %% [markdown]
# Tracks that gave no features, with the reason; the others are used all the same.

# %%
report.table(feature_report.failures(tables), "failures")

# %% [markdown]
# ## Log-mel and MFCC series of every track
#
# The same two series for all tracks with audio, computed once and kept in the cache.

# %%
report.table(feature_report.series_coverage(data), "series")

# %% [markdown]
# ## What do the features cost?
#
# Measured on one clip, on one core of the machine that made this page; `shared spectra` is
# computed once for all groups.

# %%
cost = report.table(feature_report.costs(data, repeats=n_repeats), "cost")
report.figure(
    plots.cost_bars(cost, title="What each group of features costs"),
    "cost",
    alt=words.cost_alt(cost),
)

# %% [markdown]
# Most of what costs is shared by the segments of a clip: it is decoded once, the frames of all
# segments are transformed together, and what is slow (running medians, pitch peaks) is
# compiled.
#
# ## How long would a large collection take?

# %%
estimate = feature_report.collection_estimate(cost, n_clips=large_collection, cores=large_cores)
prose(words.collection_estimate(estimate))

# %% [markdown]
# ## Do they equal librosa's?
#
# Fast is worth nothing if it is something else. Each feature is computed again with one plain
# librosa call, on whole clips and on their first 3 s alone; so are the two series. Allowed is a
# difference of a thousandth of librosa's value, and a little on top for values near zero.

# %%
equal = report.table(
    feature_report.librosa_agreement(data, n_tracks=n_compared, segment_s=3.0), "librosa"
)
prose(words.librosa_agreement(equal))

# %% [markdown]
# The largest differences. `relative` is in parts of the value (of that little for smaller
# values), `absolute` in the feature's own unit, and `of_allowed` in parts of what is
# allowed; `share_equal` is the share of values that agree to six digits.

# %%
equal.sort_values("of_allowed", ascending=False).head(8)

# %% [markdown]
# ## Do they agree with the public tables?
#
# Where a data set brings both sound and a public feature table, ours are computed from the
# sound and compared: the difference relative to the table's own spread (standard deviation).

# %%
agreement = report.table(feature_report.agreement(data), "agreement")
prose(words.agreement(agreement))

# %% [markdown]
# ## Answer

# %%
prose(words.features_answer(coverage, cost))
