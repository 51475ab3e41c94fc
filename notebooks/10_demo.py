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
# # 10 · Try your own track
#
# **Question.** What does the shipped network say of a song of your own, and what does it go by?
#
# **Inputs.** The network that comes with this project, and one sound file: name it in `song`
# below (a folder will do, too), or leave it empty for a clip of the data set. Nothing is
# trained. **Running time.** Seconds.
#
# In Colab, upload a song with the folder symbol at the left and name it below.

# %% tags=["parameters"]
dataset = "demo"
profile = "full"
song = ""
longest_s = 600.0
n_songs = 5

# %%
from genre_utils import bundle, datasets, hearing, plots_demo, tables_demo, words_demo
from genre_utils.results import Report, prose

data = datasets.load(dataset)
report = Report("10_demo", dataset=data, profile=profile)
report.header()

# %% [markdown]
# ## Listen
#
# A recording is read in windows of half a minute. The network gives each window a probability
# for every genre; their mean is the answer. The last window ends with the recording, and a
# recording of less than one window is repeated. The network learnt from real music: what it
# says of the demo data set, which a computer made, shows how this works and means no more.

# %%
model = bundle.default()
files = tables_demo.songs(data, model, song, n_songs=n_songs)
file = files["file"].iloc[0]
heard = hearing.hear(file, model=model, longest_s=longest_s)
label = words_demo.label_line(files.iloc[0])
prose("{said} {label}", said=words_demo.answer(heard, name=file.name), label=label)

# %% tags=["nbval-check-output"]
report.table(tables_demo.genres(heard), "genres")

# %% [markdown]
# Probabilities are *calibrated*: of many answers that are given with the same probability, that
# share should be right. This was fitted on the validation part of GTZAN and holds for music
# like that. For other music the network may be sure and wrong, which is why it also says when
# the sound is unlike anything that it learnt from.
#
# ## Genre over time
#
# Shorter pieces show the course of the music, and are less sure than the whole.

# %%
report.figure(
    plots_demo.course(heard, title=f"{file.name}: genre over time"),
    "course",
    alt=words_demo.course_alt(heard),
)

# %% [markdown]
# ## What did it go by?
#
# We take the window that speaks most clearly for the answer, hide one patch of its spectrogram
# after the other behind the mean, and ask again (*occlusion*). Red: the patch speaks for the
# answer. Blue: it speaks against it.

# %%
report.figure(
    plots_demo.attended(heard, title=f"{file.name}: what the answer rests on"),
    "attended",
    alt=words_demo.attended_alt(heard),
)

# %%
prose(words_demo.attended_line(heard))

# %% [markdown]
# ## Several files at once
#
# One row a file; a file that cannot be read is a row with its reason, and the others go on. The
# command line does the same: `python -m genre_utils predict FOLDER --csv`.

# %%
several = report.table(tables_demo.several(files, model), "several")
several

# %%
prose(words_demo.several_line(several))

# %% [markdown]
# ## In a web page
#
# `make demo` opens a page on your machine: drop a song, record one, or take an example. In a
# notebook, these two lines open the same page below the cell:
#
# ```python
# from genre_utils import demo
# demo.show(model)
# ```
#
# ## Limits

# %%
prose(words_demo.limits(model))

# %% [markdown]
# ## Answer

# %%
prose("{said} {label}", said=words_demo.answer(heard, name=file.name), label=label)
