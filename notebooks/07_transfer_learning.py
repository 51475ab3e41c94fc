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
# # 07 · Transfer learning
#
# **Question.** What do networks add that learnt from other data first, and how high can an honest
# number go? Headlines on the fault-filtered test: without pretraining, with it, and with it where
# only pictures are seen.
#
# **Inputs.** Everything that the earlier notebooks read, the published descriptions that lie
# beside GTZAN (`make data` says where), weights of pretrained networks where they can be had, and
# a folder of other music. **Running time.** Seconds from stored predictions; about a minute on
# the demo data; hours on GTZAN with two cores, most of them for networks.

# %% tags=["parameters"]
dataset = "demo"
profile = "full"
pretrained_networks = ["resnet18", "vit_b_16", "distilhubert", "ast"]
fetch_weights = True
finetune = True
members = None
networks = ["resnet_small", "cnn_gru", "cnn", "attention"]
more_seeds = [3, 4]
inner_seeds = [0]
epochs = None
convnet_epochs = None
teacher = "best_scratch"
student = "resnet_small"
student_seeds = [0, 1, 2]
contamination_models = ["svm", "1-nn"]
contamination_seeds = [0, 1, 2]
contamination_folds = 5
elsewhere = "newdata"
known_copies = ["MT0000092267"]
n_boot = 2000

# %%
from genre_utils import (
    contamination,
    datasets,
    deep,
    distillation,
    plots_headline,
    plots_transfer,
    stacking,
    tables,
    tables_deep,
    tables_transfer,
    transfer,
    words_deep,
    words_headline,
    words_transfer,
)
from genre_utils.models import pretrained
from genre_utils.results import Report, prose

data = datasets.load(dataset)
others = transfer.other_music(elsewhere)
report = Report("07_transfer_learning", dataset=data, profile=profile)
chance = 1 / len(data.genres)
report.header()

# %% [markdown]
# ## What pretraining is
#
# A network that has to learn genres from a few hundred tracks must find out at the same time what
# a note, a drum or a voice is. A *pretrained* network already knows something of the kind: it
# learnt another task first, on far more data. There are two ways to use it. A **probe** leaves the
# network as it is and trains a simple classifier on what its last layer says. **Fine-tuning**
# starts from there and trains all of it, with small steps.
#
# Photographs seem a strange teacher for music, speech a closer one, and tags of songs the closest:
# "rock" and "country" are among the tags. That is also the caveat. Some recordings that we test on
# may have been heard in pretraining; nobody can look that up.

# %%
availability = pretrained.availability(pretrained_networks)
availability[["title", "input", "trained_on", "licence", "size_mb", "reason"]]

# %%
prose(words_headline.availability_line(availability))

# %%
probed = transfer.run_available(
    data,
    pretrained_networks,
    study="07_pretrained",
    outputs=report.outputs,
    fetch=fetch_weights,
    finetune=finetune,
)
of_probed = tables_transfer.accuracies(probed, data, n_boot=n_boot)
tables_transfer.accuracies_to_read(report.table(of_probed, "pretrained"))

# %% [markdown]
# ## Two networks that heard the Million Song Dataset
#
# - **MSD_musicnn** (Pons & Serra) scores fifty tags every second: a *taggram*. Its authors
#   published the taggrams of GTZAN's fault-filtered training and test tracks. The network itself
#   comes inside their Python package; we rebuilt it in PyTorch, and it gives the published scores
#   again. So other music has taggrams, too.
# - **The MSD convnet** of Choi et al.: five small layers, rebuilt in the same way. Its
#   normalisation wants statistics of a batch. Ours are measured once, on the training part, and
#   never see a test track.
#
# Where most tracks have no sound, both also read GTZAN's own pictures. The weights are fetched
# where they are missing, and are not part of this project.

# %%
transfer.fetch_listeners(fetch=fetch_weights)

# %%
replayed = transfer.table_or_stored(report, "replayed", transfer.replayed, data)
prose(words_transfer.replayed_line(replayed))

# %% [markdown]
# A head on the MSD convnet as it is, and all of its layers trained further:

# %%
tuned = transfer.run_convnet(
    data,
    study="07_msd_convnet",
    outputs=report.outputs,
    epochs=convnet_epochs,
    elsewhere=others,
)
of_tuned = tables_transfer.accuracies(tuned, data, n_boot=n_boot)
tables_transfer.accuracies_to_read(report.table(of_tuned, "msd_convnet"))

# %% [markdown]
# ## A case study in leakage
#
# The authors of the MSD convnet published features of GTZAN, too. They were computed 256 tracks at
# a time, in file order, with the statistics of each batch, and the order of the files is the order
# of the genres. No label was used. Does it matter all the same? The same network, the same sounds
# and the same classifier, with nothing but the batches changed; scored outside the test part:

# %%
contaminated = contamination.run(
    data,
    study="07_contamination",
    outputs=report.outputs,
    models=contamination_models,
    n_folds=contamination_folds,
    seeds=contamination_seeds,
)
leak = report.table(contamination.accuracy(contaminated, data, n_boot=n_boot), "contamination")
rebuilt = transfer.table_or_stored(report, "rebuilt", contamination.rebuilt, data)
jumps = transfer.table_or_stored(report, "batch_jumps", contamination.batch_jumps)
report.figure(
    plots_transfer.contamination(leak, rebuilt),
    "contamination",
    alt=words_transfer.contamination_alt(leak),
)

# %%
prose(words_transfer.contamination_answer(leak, rebuilt, jumps))

# %% [markdown]
# ## Everything together
#
# A *member* is a classifier on one or several descriptions of a track, or a network from notebook
# 05. Descriptions are features by hand, taggrams, what the two networks see in pictures, and
# *texture*: level and fluctuation of each band of the spectrogram, and which bands move together,
# at once and a moment later. A picture shows each clip from its own quietest to its own loudest
# point, so the same grey means another loudness in each. *Texture in dB* undoes that: the range of
# each picture is told from the public table of features. Every member predicts the training part
# in three folds that keep artists apart, each track by models that had not heard it. These
# predictions alone decide how the members are weighed: in thirty rounds the member is added, once
# more, that lowers the loss of their mean most (Caruana et al.). Then all members are trained on
# the whole training part and predict the test part; how often that happened while this study grew
# stands in the fine print. The networks' first seeds stand in notebook 05; here are more of them,
# which predict the other music, too.

# %%
again = {"protocols": ["fault_filtered"], "epochs": epochs}
more = deep.run_networks(
    data,
    [
        deep.Group(networks, seeds=more_seeds, **again),
        deep.Group(networks, seeds=inner_seeds, stage="inner", **again),
    ],
    study="07_networks",
    outputs=report.outputs,
    elsewhere=others,
)
classical = stacking.run_members(
    data, members, study="07_members", outputs=report.outputs, elsewhere=others
)
trained = tables_transfer.joined(transfer.earlier_networks(networks, outputs=report.outputs), more)
everyone = tables_transfer.joined(trained, classical)
prose(words_deep.training_time(tables_deep.training_hours(trained), len(trained.runs)))

# %% tags=["key-figure"]
best = stacking.run_headlines(
    data,
    everyone.predictions,
    stacking.headlines(networks, members),
    study="07_headlines",
    outputs=report.outputs,
)
headlines = report.table(tables_transfer.headlines(best, data, n_boot=n_boot), "headlines")
anchors = tables_transfer.anchors()
report.figure(
    plots_headline.headlines(headlines, anchors, chance=chance),
    "headlines",
    alt=words_headline.headlines_alt(headlines, anchors),
)

# %% tags=["nbval-check-output"]
tables_transfer.accuracies_to_read(headlines)

# %% [markdown]
# What each member knows alone, and how much it weighs:

# %%
weights = report.table(tables_transfer.members(everyone.predictions, best), "members")
report.figure(plots_headline.members(weights), "members", alt=words_headline.members_alt(weights))

# %%
prose(words_headline.weights_line(weights))

# %%
prose(words_headline.choice_line(weights))

# %% [markdown]
# Members that could not be trained here, and why:

# %%
classical.impossible

# %% [markdown]
# ## One network that learns from all of them
#
# An ensemble is slow and large. *Distillation* trains one network on what the ensemble says about
# the training tracks, mixed with the labels. It must not simply repeat what the ensemble learnt by
# heart, so each track's answer comes from models that had not heard the track.

# %%
distilled = distillation.run_distilled(
    data,
    best,
    teacher=teacher,
    system=student,
    seeds=student_seeds,
    study="07_distilled",
    outputs=report.outputs,
    epochs=epochs,
    elsewhere=others,
)
alone = tables_transfer.accuracies(tables_transfer.joined(trained, distilled), data, n_boot=n_boot)
tables_transfer.accuracies_to_read(report.table(alone, "networks"))

# %%
taught = tables_transfer.taught(tables_transfer.joined(trained, distilled), n_boot=n_boot)
prose(words_transfer.distilled_line(report.table(taught, "taught")))

# %%
report.keep_predictions("07_pretrained", "07_msd_convnet", "07_contamination")
report.keep_predictions("07_networks", "07_members", "07_headlines", "07_distilled")

# %% [markdown]
# ## The fine print
#
# **Is it better than simpler systems?** Than an untuned SVM; than the classical model and the
# single network that have the best validation accuracy, variants among them; and than the network
# that is best in the folds inside the training part, with all its seeds. Paired on the same
# tracks: intervals by drawing tracks, and McNemar's exact test, not corrected for the number of
# comparisons.

# %%
simpler = tables_transfer.baselines(report.outputs) | tables_transfer.best_network(trained)
compared = tables_transfer.against(best, simpler, n_boot=n_boot)
report.table(compared, "against").round(3)

# %%
prose(words_headline.against_line(compared))

# %% [markdown]
# **How much is luck?** The same network from other random beginnings. The last column is the
# accuracy of their answers averaged, which is no longer one network:

# %%
of_seeds = report.table(tables_transfer.seeds(trained), "seeds")
of_seeds.round(3)

# %% [markdown]
# **Does the validation part matter?** From notebook 05: the epoch chosen on it, no validation part
# at all, or both parts trained on.

# %%
of_validation = report.read("05_validation_part")
of_validation.drop(columns="model").round(3)

# %%
prose(words_deep.validation_part_line(of_validation, protocol="fault_filtered"))

# %% [markdown]
# **Are artists really kept apart?** By the artist ids that are known:

# %%
shared = report.table(tables_transfer.shared_artists(data), "shared_artists")
without = tables_transfer.without_shared_artists(best, data, n_boot=n_boot)
report.table(without, "without_shared_artists").round(3)

# %%
prose(words_headline.shared_artist_line(shared, without))

# %% [markdown]
# **How often was the test part looked at?** Every evaluation is counted, also those whose number
# nobody quotes. Here are those of this notebook and the ones before it; the overview has all.

# %%
uses = report.read("test_uses")
tables.uses_summary(uses[uses["study"].str[:2] <= "07"])

# %%
prose(words_transfer.looks_line(uses))

# %% [markdown]
# ## Does it hold on music from elsewhere?
#
# Clips from outside GTZAN, in some of its genres. A model may answer with any of its genres, or
# only with those that are there. Recordings known to be in GTZAN are left out. Taggrams of other
# music are MSD_musicnn's own, of its sound; pictures of it are drawn as GTZAN's were.

# %%
heard = tables_transfer.joined(best, distilled, trained, tuned)
abroad = tables_transfer.new_music(heard, known_copies=known_copies, n_boot=n_boot)
report.table(abroad, "new_music")
report.figure(
    plots_headline.new_music(abroad), "new_music", alt=words_headline.new_music_alt(abroad)
)

# %%
prose(words_headline.new_music_line(abroad))

# %% [markdown]
# ## Answer

# %%
prose(words_headline.headline_answer(headlines, anchors, comparisons=compared))

# %%
tables_transfer.beside_anchors(headlines, anchors)
