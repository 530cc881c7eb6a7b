# %% [markdown]
# # 13 · The e-commerce case: what goes into the next basket?
#
# **Question.** A shop shows each household ten products before its next visit. Does a network that
# reads the whole history choose them better than the household's own habits do?
#
# The answer is measured on weeks that no model has seen, with intervals over households.

# %% [markdown] tags=["lesson"]
# ~30 min · needs chapter 3 · runs in under a minute on two CPU cores
#
# Afterwards you can set up a next-basket test that deserves belief, train a small recurrent network on
# it, and say whether it beats a plain count. This page is also the shop's report:
# `companion report --data YOUR_LOG` runs it on another log.

# %% tags=["parameters"]
SEED = 0
DATA = "complete-journey"  # or a path to a log of your own, from `companion data import`
K = 10  # products shown
EPOCHS = 2  # a report takes 6, the long report 15
MAX_BASKETS = 30  # of a household's history; a report takes 40, the long report 60
MIN_COUNT = 50  # purchases that make a product part of the catalogue; fewer on a small log

# %% tags=["pytorch"]
from datetime import timedelta

import numpy as np
import polars as pl
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from companion.core.seeding import generator
from companion.course.answers import check
from companion.data import prepare, sources, split
from companion.metrics.uplift import comparison, verdict
from companion.plots import figures
from companion.pytorch import NextBasketLearner, setup
from companion.recommenders import item_vectors, next_basket, simple, task
from companion.recommenders.next_basket import FIRST_ITEM, NextBasketConfig
from companion.reports.record import record

runtime = setup(SEED)

# %% tags=["tensorflow"]
from datetime import timedelta

from companion.tensorflow import NextBasketLearner, setup

import numpy as np
import polars as pl
import tensorflow as tf
from scipy import sparse
from tensorflow import Tensor

from companion.core.seeding import generator
from companion.course.answers import check
from companion.data import prepare, sources, split
from companion.metrics.uplift import comparison, verdict
from companion.plots import figures
from companion.recommenders import item_vectors, next_basket, simple, task
from companion.recommenders.next_basket import FIRST_ITEM, NextBasketConfig
from companion.reports.record import record

runtime = setup(SEED)

# %% [markdown]
# ## One household
#
# The log has a line for each product in each basket. Here is the start of one household's year.

# %%
log = sources.load_or_sample(DATA)
record("device", runtime.device)
record("data", log.name)
print(f"{log.name}: {log.about}.")
prepare.example(log, rows=6).to_pandas()

# %% [markdown]
# ## Clean, and keep the receipt
#
# Limits are declared beforehand: a line without units was cancelled, a line of more than 100 units is
# petrol, and a price of nothing is no sale.

# %%
cleaned = prepare.purchases(log)
bought = cleaned.events
record("rows read", len(log.events), label="Rows read")
record("rows used", len(bought), label="Rows used after cleaning")
cleaned.receipt()

# %% [markdown]
# ## The protocol, before any figure
#
# The log is cut in time: the first part trains, the second tunes, the last tests. The question is each
# household's *first basket* in the last part. All that lies before is known. Every product of the
# catalogue is a candidate, so the ranking is full, never sampled.

# %%
last = bought["timestamp"].max()
weeks = (last - bought["timestamp"].min()) / timedelta(weeks=1)
test_from, validation_from = (last - timedelta(weeks=weeks * share) for share in (0.08, 0.16))
parts = split.by_time(bought, validation_from, test_from)
encoder = task.catalogue(parts.train, min(MIN_COUNT, max(2, len(parts.train) // 10_000)))
config = NextBasketConfig(epochs=EPOCHS, max_baskets=MAX_BASKETS, learning_rate=0.01)
known = bought.filter(pl.col("timestamp") < test_from)
tuning = task.question(known, encoder, validation_from, config)
exam = task.question(bought, encoder, test_from, config)
print(f"training until {validation_from:%d %B %Y}, test from {test_from:%d %B %Y}")
print(split.leaks(known, parts.test))
print(f"catalogue: {encoder.size_ - FIRST_ITEM:,} products; households asked: {len(exam.users):,}")
print(f"{exam.outside / exam.asked:.0%} of what they bought lies outside it and cannot be hit")
record("households asked", len(exam.users), label="Households in the test")
record("products in the catalogue", encoder.size_ - FIRST_ITEM, label="Products in the catalogue")

# %% [markdown]
# ## Two recommenders that only count
#
# Let $n_{ui}$ be in how many baskets household $u$ had product $i$, and $p_i$ how often the product
# was bought by anyone. *Popularity* ranks by $p_i$. *Own frequency* ranks by
#
# $$s_{ui} = n_{ui} + \frac{p_i}{1 + \max_j p_j}$$
#
# The fraction stays below 1. It never overrules a habit, and it fills the list of a newcomer.

# %% tags=["include"]
# companion.recommenders.simple: own_frequency

# %% [markdown] tags=["lesson"]
# By hand: one household bought product 0 twice and product 2 once, another is new. Popularity is 5, 3
# and 8. The scores are 2 + 5/9, 3/9 and 1 + 8/9 for the first, 5/9, 3/9 and 8/9 for the second. The function agrees:

# %% tags=["nbval-check-output", "lesson"]
counts = simple.own_counts(np.array([0, 0, 0]), np.array([0, 0, 2]), (2, 3))
print(simple.own_frequency(counts, np.array([5.0, 3.0, 8.0])).round(3))

# %% [markdown]
# Now on the real question. *Recall at K* is the share of a household's basket that is among the K
# products shown. The intervals come from drawing the households anew, 2,000 times.

# %%
popular = simple.popularity(encoder.transform(parts.train["item_id"]), encoder.size_)
popular[:FIRST_ITEM] = 0
scores = {
    "popularity": np.tile(popular, (len(exam.users), 1)),
    "own frequency": simple.own_frequency(exam.counts, popular),
}
figure = {name: task.evaluate(s, exam, K, seed=SEED) for name, s in scores.items()}
comparison({n: f["recall"] for n, f in figure.items()}, "popularity", seed=SEED).round(4)

# %% [markdown]
# Own frequency is the *incumbent* below: what a new model has to beat. Any shop has it for the price of
# one query. In the Complete Journey log it finds nearly three times as much as popularity.
#
# ## Vectors of products
#
# A product's first vector comes from its words (TF-IDF, then a singular value decomposition), a second
# from what lies beside it in baskets (pointwise mutual information). Training moves both.

# %%
early = validation_from - 0.75 * (validation_from - parts.train["timestamp"].min())
sequences = parts.train.filter(pl.col("timestamp") >= early)
households, data = task.training_data(sequences, encoder, config)
words = task.item_texts(log.items, encoder)
together = task.basket_table(data.targets, encoder.size_)
vectors = item_vectors.starting_vectors(together, words, config.embedding_size, seed=SEED)
names = encoder.inverse_transform(range(encoder.size_)) if words is None else words
print(*(names[i] for i in np.argsort(-vectors @ vectors[FIRST_ITEM + 2])[:4]), sep="\n")

# %% [markdown]
# The first line is a product, the others are its nearest neighbours. Without a table of products, only
# the baskets speak.
#
# Features of the household come from the first quarter of the training time: visits, different
# products, recency, spend. The sequences are trained on what follows, so that no feature knows the
# future of its own sequence.

# %%
table = task.profiles(parts.train, early)
data = task.with_features(data, households, table)
tune_batch = task.with_features(task.ask(tuning), tuning.users, table)
exam_batch = task.with_features(task.ask(exam), exam.users, table)
print(f"baskets {data.baskets.shape}, features {data.features.shape}: {', '.join(table.names)}")

# %% [markdown]
# ## A network that reads baskets
#
# A basket is the mean of its products' vectors, $x_t \in \mathbb{R}^{D}$. A gated recurrent unit reads
# them in order and keeps a state $h_t \in \mathbb{R}^{H}$:
#
# $$z_t = \sigma(W_z x_t + U_z h_{t-1}), \qquad r_t = \sigma(W_r x_t + U_r h_{t-1})$$
#
# $$\tilde h_t = \tanh(W x_t + r_t \odot U h_{t-1}), \qquad
# h_t = (1 - z_t) \odot \tilde h_t + z_t \odot h_{t-1}$$
#
# The gate $z_t$ decides how much of the old state stays. From $h_t$ and the features, one score per
# product gives a softmax over the catalogue. The loss at a basket $b$ is the mean surprise of what is
# in it, $-\frac{1}{|b|}\sum_{i \in b} \log p(i)$. Biases are left out of the formulas.

# %% tags=["include"]
# companion.{framework}.recommend: next_basket_loss

# %% [markdown] tags=["pytorch", "lesson"]
# `gather` picks the products of the target out of the log-softmax: no one-hot table of baskets times
# catalogue is built. `torch.where` comes before the sum, so that a padded place adds nothing, not even
# a gradient.

# %% [markdown] tags=["tensorflow", "lesson"]
# `tf.gather` with `batch_dims` picks the products of the target out of the log-softmax: no one-hot
# table of baskets times catalogue is built. `tf.where` comes before the sum, so that a padded place
# adds nothing, not even a gradient.

# %% [markdown] tags=["lesson"]
# By hand: four products with equal scores, each has $p = 1/4$, so any basket costs $\log 4 = 1.3863$.

# %% tags=["pytorch", "nbval-check-output", "lesson"]
even, basket = torch.zeros(1, 4), torch.tensor([[2, 3, 0]])  # [B, V], [B, K]
print(f"{next_basket_loss(even, basket):.4f}")

# %% tags=["tensorflow", "nbval-check-output", "lesson"]
even, basket = tf.zeros([1, 4]), tf.constant([[2, 3, 0]])  # [B, V], [B, K]
print(f"{next_basket_loss(even, basket):.4f}")

# %% [markdown]
# The output's bias starts at the log of the popularity, so that the network has to learn only what differs from
# it. The loss on this page is handed to the learner: edit it above, and the result changes.

# %%
learner = NextBasketLearner(
    config,
    vectors,
    num_items=encoder.size_,
    num_features=len(table.names),
    seed=SEED,
    loss=next_basket_loss,
)
next_basket.start_at_popularity(learner, popular)
losses = next_basket.fit(learner, data, config, generator(SEED, "batches"))
ax = figures.curves({"training": losses}, "Surprise per product, by epoch", "epoch", "nats")
record("training loss by epoch", losses)

# %% [markdown]
# Where the curve still falls at its end, more epochs would help: this page is a quick look, and the
# reports train longer. A choice among all products at random would cost the logarithm of the
# catalogue's size.
#
# ## The comparison
#
# The network alone, and the network together with habits: its score plus $w \log(1 + n_{ui})$. The
# weight $w$ is chosen in the tuning weeks, never in the test.

# %%
tune_scores = next_basket.score_all(learner, tune_batch, config.batch_size)
weight, _ = task.best_weight(tune_scores, tuning, (0, 1, 2, 4, 6, 8, 12, 16, 32), K)
scores["network"] = next_basket.score_all(learner, exam_batch, config.batch_size)
scores["network + habits"] = simple.blend(scores["network"], exam.counts, weight)
figure = {name: task.evaluate(s, exam, K, seed=SEED) for name, s in scores.items()}
recalls = comparison({name: f["recall"] for name, f in figure.items()}, "own frequency", seed=SEED)
print(f"weight of habits, from the tuning weeks: {weight}")
others = recalls.drop(index="own frequency")
ax = figures.intervals(others.iloc[:, 3:], f"Recall at {K}, difference to own frequency")
recalls.round(4)

# %% [markdown]
# The last three columns are the difference to own frequency, and the figure draws them. Each dot is a
# mean over the same households; a line that crosses zero decides nothing. Another seed moves the
# network a little: where an interval ends close to zero, run several before you decide.
# In words:

# %%
for name, row in recalls.iterrows():
    record(
        f"recall at {K}, {name}",
        row["mean"],
        label=f"Recall at {K}: {name}",
        interval=(row["low"], row["high"]),
    )
    record(f"NDCG at {K}, {name}", np.nanmean(figure[name]["NDCG"]))
for name in others.index:
    print(verdict(recalls, name, "own frequency"))
record("verdict", verdict(recalls, "network + habits", "own frequency"), label="Verdict")

# %% [markdown]
# ## Where does the network win?
#
# A basket holds habits and news. Own frequency cannot know what is new to a household. So look at the
# two halves of the question apart, and at households with short and long histories.

# %%
by_part = task.recall_by_part(scores, exam, K, seed=SEED)
record("recall by part", by_part.reset_index(names="method"))
print(task.reading(by_part))
by_part.round(4)

# %% [markdown]
# The second column is the size of "discovery": what a list of K products finds of the things that a
# household has never bought. Where it is a few percent, most of the value lies in habits.

# %% tags=["hide"]
if log.name == "complete-journey" and (EPOCHS, MAX_BASKETS, K) == (2, 30, 10):
    # The bands: mean of eight seeds and six times their deviation.
    assert 0.109 < recalls.loc["network", "mean"] < 0.125
    assert 7.48 < losses[-1] < 7.56
    assert recalls.loc["network", "difference high"] < 0 < recalls.loc["network", "mean"] - 0.08

# %% [markdown] tags=["lesson"]
# ## What breaks it: a sample instead of the catalogue
#
# **Predict first.** Many papers rank the bought product among 99 others drawn at random, and call it
# HR@10 too. What happens to *popularity*, which found 7 % of the baskets?

# %% tags=["lesson"]
rng = generator(SEED, "sampled ranking")
first = exam.relevant[:, 0]
asked_once = np.flatnonzero(first >= 0)
drawn = rng.integers(FIRST_ITEM, encoder.size_, (len(asked_once), 99))
better = popular[drawn] >= popular[first[asked_once]][:, None]
print(
    f"sampled HR@10: {np.mean(better.sum(1) < 10):.3f}   full HR@10 for the same products: "
    f"{np.mean((popular >= popular[first[asked_once]][:, None]).sum(1) <= 10):.3f}"
)

# %% [markdown] tags=["lesson"]
# The same model, the same households. Among a hundred random products a popular one stands out; among
# thousands it does not. The two figures must never share a table, and a report must say which it is.

# %% [markdown]
# ## What state, action and reward are here
#
# The state is the household's baskets with its features. The action is the list of products. The log
# holds no reward for lists that were never shown: it tells what people buy, not what a recommendation
# would change. That needs an experiment or a simulator, and later chapters build one.

# %% [markdown] tags=["lesson"]
# ## Recall
#
# 1. Why is the ranking full?
#    <details><summary>Answer</summary>A sample of candidates is an easier task with another number.</details>
# 2. Where does the weight of habits come from?
#    <details><summary>Answer</summary>From the tuning weeks; the test is looked at once.</details>
# 3. Why are the differences paired?
#    <details><summary>Answer</summary>The same households are asked; what they share cancels.</details>
# 4. What can own frequency never do?
#    <details><summary>Answer</summary>Recommend what is new to a household.</details>
# 5. Does a higher recall mean more sales?
#    <details><summary>Answer</summary>Not by itself: they might have bought it anyway.</details>

# %% [markdown] tags=["lesson"]
# ## Exercise 13.1
#
# Recall of one household: which share of the different products `bought` is among those `shown`?


# %% tags=["lesson"]
def household_recall(shown, bought):
    """lists of products -> a number from 0 to 1"""
    # solution
    return len(set(shown) & set(bought)) / len(set(bought))


check("13.1", household_recall)

# %% [markdown] tags=["lesson"]
# ## Exercise 13.2
#
# Two methods, the same households. Return the mean difference and its standard error.


# %% tags=["lesson"]
def paired(ours, theirs):
    """[N], [N] -> mean of the differences, its standard error (with N - 1)"""
    # solution
    difference = np.asarray(ours) - np.asarray(theirs)
    return difference.mean(), difference.std(ddof=1) / np.sqrt(len(difference))


check("13.2", paired)

# %% [markdown]
# ## Summary
#
# - A household's own most frequent products are a strong incumbent, and they cost one query.
# - A network earns its place when the interval of its difference to them lies above zero. In the
#   Complete Journey log a small one alone loses; together with habits its gain is as small as its
#   interval is wide.
# - Every figure here comes with its protocol: a cut in time, full ranking, intervals over households.
#
# **Next:** chapters 4 to 6 build better encoders and more rivals; chapters 7 to 12 let a policy act.
#
# **References.** Hidasi et al. (2016), *Session-based recommendations with recurrent neural networks*,
# ICLR · Hu et al. (2020), *Modeling personalized item frequency information for next-basket
# recommendation*, SIGIR · Li et al. (2023), *A next basket recommendation reality check*, ACM TOIS 41(4) ·
# Krichene and Rendle (2020), *On sampled metrics for item recommendation*, KDD
