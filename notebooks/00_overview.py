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
# # 00 · Overview
#
# **Question.** What did the study find?
#
# **Inputs.** The tables of the other notebooks, nothing else; it runs last. **Running time.**
# Seconds.

# %% tags=["parameters"]
dataset = "demo"
profile = "full"
network_notebooks = ["04_multimodal", "05_sequence_models", "06_segment_length"]

# %%
import pandas as pd

from genre_utils import (
    datasets,
    plots,
    plots_headline,
    tables,
    tables_compression,
    tables_deep,
    tables_generalization,
    tables_transfer,
    words,
    words_compression,
    words_deep,
    words_generalization,
    words_headline,
    words_transfer,
)
from genre_utils.results import Report, markdown_table, prose

data = datasets.load(dataset)
report = Report("00_overview", dataset=data, profile=profile)
chance = 1 / len(data.genres)
report.header()

# %% [markdown]
# ## The leakage ladder
#
# Left: accuracy as the field measures it, from segments split at random (leaky) to the
# fault-filtered split (the strictest that is published). Right: the same test items and the same
# training size at every rung, so that little but leakage differs.

# %%
ladder, fair = report.read("03_ladder"), report.read("03_ladder_fair")
report.figure(
    plots.ladders(
        {"As the field splits": ladder, "Same test items, same training size": fair},
        chance=chance,
    ),
    "ladder",
    alt=words.ladder_alt(ladder, "as the field splits")
    + " "
    + words.ladder_alt(fair, "with the same test items and training size"),
)

# %%
fall = words.ladder_fall(ladder, fair, model=ladder["model"].iloc[0])
prose(fall)

# %% [markdown]
# ## Leaderboard
#
# One row a model, one answer a track (its segments' probabilities added up), sorted by the
# strictest protocol. Each model stands at the segment length that its *validation* accuracy
# chose. In brackets: intervals by bootstrap over tracks.

# %% tags=["nbval-check-output"]
accuracy = report.read("03_accuracy")
leaderboard = report.table(tables.leaderboard(accuracy), "leaderboard")
board = tables.leaderboard_to_read(leaderboard)
board

# %% [markdown]
# ## Networks, beside what is claimed of them
#
# Kinds of deep system that are reported on this data, rebuilt. Under `segment_random` each segment
# is scored, as the field does; elsewhere each track. Training accuracy (of the kept weights),
# parameters and MB are those under the strictest protocol of a row. The column `published` holds
# claims as they were handed to this study, with the split that they named. No citable source is
# known for them: they are what is tested, not evidence.

# %% tags=["nbval-check-output"]
systems = tables_deep.all_systems(
    {name: report.read(f"{name[:2]}_systems") for name in network_notebooks}
)
report.table(systems, "systems").drop(columns=["training"])

# %%
of_networks = [report.read(f"{name[:2]}_accuracy") for name in network_notebooks]
spread = words_deep.seed_spread(pd.concat(of_networks))
prose(f"{spread} {words_deep.underfitted_numbers(systems)}")

# %% [markdown]
# ## How high can an honest number go?
#
# Two headlines on the fault-filtered test, trained on its training part and chosen inside it:
# without pretraining, and with. Below them what others published on the same test tracks.

# %%
headlines, anchors = report.read("07_headlines"), tables_transfer.anchors()
report.figure(
    plots_headline.headlines(headlines, anchors, chance=chance),
    "headlines",
    alt=words_headline.headlines_alt(headlines, anchors),
)

# %%
prose(words_headline.headline_answer(headlines, anchors))

# %%
prose(words_transfer.distilled_line(report.read("07_taught")))

# %% tags=["nbval-check-output"]
tables_transfer.beside_anchors(headlines, anchors)

# %% [markdown]
# ## How small can it get?
#
# Networks made small, on the fault-filtered test; size and time are those of the file that runs.

# %%
compressed, devices = report.read("08_compression"), report.read("08_devices")
prose(words_compression.answer(devices, compressed))

# %%
tables_compression.devices_to_read(devices)

# %% [markdown]
# ## Does it hold elsewhere?
#
# The network that is shipped, on music from outside the data set and on damaged sound.

# %%
abroad, damages = report.read("09_accuracy"), report.read("09_damages")
prose(words_generalization.accuracy_line(abroad))

# %%
prose(words_generalization.damage_line(damages))

# %% [markdown]
# ## How often was the test part looked at?
#
# Every evaluation on a test part is counted, whether or not its number was kept.

# %%
uses = report.read("test_uses")
report.table(tables.uses_summary(uses), "test_uses")

# %% [markdown]
# ## Answer

# %%
prose(f"{fall} {words_headline.headline_answer(headlines, anchors)}")

# %% [markdown]
# ## Where to read on
#
# - [01 · The data](01_eda.ipynb): what is in it, and what is wrong with it
# - [02 · Feature extraction](02_feature_extraction.ipynb): what the models see
# - [03 · Baselines](03_baselines.ipynb): every model, every protocol, every segment length
# - [04 · Multimodal networks](04_multimodal.ipynb): four kinds of picture, MFCC series, and both
#   joined
# - [05 · Sequence models](05_sequence_models.ipynb): networks from scratch, and their ensemble
# - [06 · Segment length](06_segment_length.ipynb): how long a segment must be
# - [07 · Transfer learning](07_transfer_learning.ipynb): what pretraining adds, and the two
#   headlines
# - [08 · Compression](08_compression.ipynb): how small and fast it can get
# - [09 · Generalization](09_generalization.ipynb): music from elsewhere, damaged sound
# - [10 · Demo](10_demo.ipynb): try your own track

# %%
report.readme(
    ladder=fall,
    ladder_table=markdown_table(tables.ladder_to_read(ladder, fair)),
    leaderboard=markdown_table(board),
    systems=tables_deep.systems_fragment(systems)
    + f"\n\n{spread} {words_deep.underfitted_numbers(systems)}",
    headlines=tables_transfer.headline_fragment(headlines, anchors),
    compression=tables_compression.fragment(devices),
    generalization=tables_generalization.fragment(abroad, damages),
    rests_on=words.rests_on(data, accuracy, uses),
)
