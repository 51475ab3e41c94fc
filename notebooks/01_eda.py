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
# # 01 · The data
#
# **Question.** What is in the data, what does each genre look and sound like, and what is
# wrong with it?
#
# **Inputs.** Whatever there is of the data set: sound files, pictures, feature tables, and the
# package's index of splits and artists. A figure that needs what is not here says so.
# **Running time.** A minute or two the first time; less from the cache.

# %% tags=["parameters"]
dataset = "demo"
profile = "full"
example_seconds = 10.0
most_genres = 10
frame_genre = "jazz"
n_trial_clips = 50
frame_lengths = [3.0, 6.0, 9.0]
segment_lengths = [30.0, 10.0]
shown_features = [
    "spectral_centroid_mean",
    "rms_mean",
    "zero_crossing_rate_mean",
    "chroma_stft_mean",
    "mfcc2_mean",
    "mfcc4_mean",
]
least_per_genre = 10
n_cases = 7
seed = 0

# %%
from IPython.display import Markdown

from genre_utils import audit, datasets, eda, feature_report, plots_eda, words_eda
from genre_utils.results import Report, prose

data = datasets.load(dataset)
report = Report("01_eda", dataset=data, profile=profile)
report.header()

# %% [markdown]
# ## One example of each genre
#
# Listen first. The demo's sounds are part of this page. Of real recordings the page holds only
# links to your own copy in `data/`: without it the players stay silent.

# %%
examples = feature_report.examples(data, seconds=example_seconds, most_genres=most_genres)
eda.players(data, examples, outputs=report.outputs)

# %% [markdown]
# ### The signal over time
#
# The **waveform** is air pressure. **RMS** is the root of a frame's mean energy: loudness. The
# **zero-crossing rate** says how often the pressure changes its sign: noisiness.

# %%
views = eda.example_views(examples)
measures = report.table(eda.example_measures(examples), "examples")
kinds = ["waveform", "rms", "zero-crossing rate"]
report.figure(
    plots_eda.views_by_genre(views, kinds, seconds=example_seconds),
    "signals",
    alt=words_eda.views_alt(kinds, measures),
)

# %%
prose(words_eda.signals(measures))

# %% [markdown]
# ### The spectrum over time
#
# A **spectrogram** shows the energy at each frequency (brighter: louder). The **mel
# spectrogram** spaces frequencies as the ear does. **MFCCs** sum up the shape of each frame's
# spectrum: timbre. **Chroma** adds up all octaves of each pitch: harmony.

# %%
kinds = ["spectrogram", "mel spectrogram", "MFCC", "chroma"]
report.figure(
    plots_eda.views_by_genre(views, kinds, seconds=example_seconds),
    "spectra",
    alt=words_eda.views_alt(kinds, measures),
)

# %%
prose(words_eda.spectra(measures))

# %% [markdown]
# ### Rhythm, and what holds against what strikes
#
# A **tempogram** shows how strongly onsets repeat at each tempo. Median filters part a
# spectrogram into a **harmonic part** (held tones, level lines) and a **percussive part**
# (strokes, upright lines).

# %%
kinds = ["tempogram", "harmonic part", "percussive part"]
report.figure(
    plots_eda.views_by_genre(views, kinds, seconds=example_seconds),
    "structure",
    alt=words_eda.views_alt(kinds, measures),
)

# %%
prose(words_eda.structure(measures))

# %% [markdown]
# ## What is left of a clip in a short frame?
#
# Many studies cut clips into frames of a few seconds. The same ten representations, for frames
# from the middle of one clip and for the whole of it:

# %%
cut = eda.frames(examples, genre=frame_genre, lengths=frame_lengths)
cut_measures = report.table(eda.measures(cut), "frames")
report.figure(
    plots_eda.views_by_frame(
        {name: eda.views(y) for name, y in cut.items()},
        dict(zip(cut_measures["clip"], cut_measures["seconds"], strict=True)),
    ),
    "frames",
    alt=words_eda.frames_alt(cut_measures, frame_genre),
)

# %%
prose(words_eda.frames(cut_measures))

# %% [markdown]
# ## How much is there, how long, how loud?

# %%
measurements = audit.measurements(data)
balance = report.table(eda.balance(data, measurements), "balance")
measured = eda.measured_tracks(data, measurements)
report.figure(
    plots_eda.contents(balance, measured), "contents", alt=words_eda.contents_alt(balance)
)

# %%
prose(words_eda.contents(balance, measured))

# %% [markdown]
# ## Features by genre
#
# Notebook 02 explains the 57 features that are used from here on.

# %%
part = eda.open_part(data, at_least=least_per_genre)
tables = feature_report.feature_tables(data, segment_lengths)
whole = eda.whole_clips(tables, data)
prose(words_eda.open_part(part, len(data.tracks)))

# %%
values = eda.distributions(tables, part, shown_features)
spreads = report.table(eda.spreads(values), "spreads")
report.figure(
    plots_eda.distributions(values), "distributions", alt=words_eda.distributions_alt(spreads)
)

# %%
prose(words_eda.distributions(spreads))

# %% [markdown]
# ### Which features say the same?

# %%
correlation = eda.correlations(whole, part)
pairs = eda.strongest_pairs(correlation)
report.table(pairs.head(50), "correlations")
report.figure(
    plots_eda.correlations(correlation), "correlations", alt=words_eda.correlations_alt(pairs)
)

# %%
prose(words_eda.correlations(pairs))

# %% [markdown]
# ### Tempo

# %%
tempos = eda.tempos(whole, part)
report.figure(plots_eda.tempos(tempos), "tempo", alt=words_eda.tempos_alt(tempos))

# %%
prose(words_eda.tempos(tempos))

# %% [markdown]
# ### Which features tell which genres apart?
#
# Left, a linear discriminant sees one group of features only and is asked about artists that
# it has not met (about tracks, where a genre has one artist only). Right, single features, by
# how much of the variance of their ranks lies between genres.

# %%
separation = report.table(eda.separation(whole, part, seed=seed), "separation")
ranking = report.table(eda.ranking(whole, part, seed=seed), "ranking")
report.figure(
    plots_eda.separation(separation, ranking),
    "separation",
    alt=words_eda.separation_alt(separation),
)

# %%
prose(words_eda.separation(separation, ranking))

# %% [markdown]
# ### Two maps of all features
#
# PCA turns the standardised features until two axes hold as much of the variance as two can.
# t-SNE bends the space to keep neighbours together: distances between clouds mean little.

# %%
projection = eda.projection(whole, part, seed=seed)
neighbours = report.table(eda.neighbours(whole, part), "neighbours")
report.figure(plots_eda.projections(projection), "maps", alt=words_eda.projections_alt(neighbours))

# %%
prose(words_eda.projections(projection, neighbours))

# %% [markdown]
# ## Artists, and what they mean for splitting

# %% tags=["key-figure"]
artists = report.table(eda.artists(data, seed=seed), "artists")
report.figure(
    plots_eda.artists(eda.artist_shares(data), artists),
    "artists",
    alt=words_eda.artists_alt(artists),
)

# %%
prose(words_eda.artists(artists))

# %% [markdown]
# ## What is wrong with it?
#
# The audit decodes every file, measures it, and looks for repetitions by fingerprints of the
# sound, and in feature tables and pictures where there is no sound.

# %%
findings = report.table(audit.audit(data), "audit", numbered=False)
counts = report.table(eda.fault_counts(findings), "faults")
counts

# %%
prose(words_eda.faults(counts, findings, data))

# %%
literature = report.table(eda.literature(findings, data), "literature")
literature

# %%
prose(words_eda.literature(literature))

# %% [markdown]
# ### How far can the fingerprint be trusted?
#
# Clips of this data set are altered as recordings are when they circulate, and looked for among
# the clips. A copy should be found, and no other clip with it.

# %%
trial = report.table(eda.fingerprint_trial(data, n_clips=n_trial_clips), "fingerprint")
trial

# %%
prose(words_eda.fingerprint_trial(trial))

# %% [markdown]
# ### The worst cases

# %%
cases = eda.worst_cases(findings, data, n_cases=n_cases)
report.figure(
    plots_eda.cases(eda.case_pictures(cases, data)), "cases", alt=words_eda.cases_alt(cases)
)

# %%
prose(words_eda.cases(cases))

# %% [markdown]
# ## Data card

# %% tags=["nbval-check-output"]
Markdown(words_eda.data_card(data))

# %% [markdown]
# ## Answer

# %%
portraits = eda.portraits(
    whole,
    part,
    separation=separation,
    neighbours=neighbours,
    artists=artists,
    findings=findings,
    dataset=data,
)
report.table(portraits, "portraits")
Markdown(words_eda.portraits(portraits))

# %%
prose(words_eda.answer(balance, portraits, artists, findings, data))
