# %% [markdown]
# # 13 · The e-commerce case: what goes into the next basket?
#
# **Question.** A shop shows each household a short list of products before its next visit. Does a
# network that reads the whole history choose them better than the household's own habits do?
#
# The answer is measured on weeks that no model has seen, with intervals over households.

# %% [markdown] tags=["lesson"]
# ~30 min · needs chapter 3 · runs in under a minute on two CPU cores · next: chapters 4 to 6 build better
# encoders and more rivals
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
from companion.data import item_vectors, prepare, sources, split
from companion.metrics.uplift import comparison, verdict
from companion.plots import figures
from companion.pytorch import NextBasketLearner, setup
from companion.recommenders import evaluation, next_basket, simple, task
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
from companion.data import item_vectors, prepare, sources, split
from companion.metrics.uplift import comparison, verdict
from companion.plots import figures
from companion.recommenders import evaluation, next_basket, simple, task
from companion.recommenders.next_basket import FIRST_ITEM, NextBasketConfig
from companion.reports.record import record

runtime = setup(SEED)

# %% [markdown]
# ## The log
#
# Here are the first rows of the user with the most events.

# %%
log = sources.load_or_sample(DATA)
record("device", runtime.device)
record("data", log.name)
print(f"{log.name}: {log.about}.")
prepare.example(log, rows=6).to_pandas()

# %% [markdown]
# ## Clean, and keep the receipt
#
# Limits are declared beforehand, and the table names them: a line without units or without a price is
# no sale. *Changed* counts rows that were moved or altered; sorting moves almost all. Below, *bought*
# means the event that is kept, *household* means a user, and *basket* a session.

# %%
cleaned = prepare.purchases(log)
print(f"event to predict: {prepare.wanted_event(log.events)}")
bought = cleaned.events
record("rows read", len(log.events), label="Rows read")
record("rows used", len(bought), label="Rows used after cleaning")
cleaned.receipt()

# %% [markdown]
# ## The protocol, before any figure
#
# The log is cut in time: the first part trains, the second tunes, the last tests. The question is each
# household's *first basket* that begins in the last part. Every product of the catalogue is a
# candidate, so the ranking is full, never sampled.
#
# Histories and counts run to the last day before the question. What is trained or counted over all
# households stops at the end of the first part and is not fitted again. The step size
# was chosen in the tuning weeks; the shares of the parts and the number of epochs were set beforehand.

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
print(evaluation.describe(exam, encoder))
record("households counted", exam.counted, label="Households in the means")
record("products in the catalogue", encoder.size_ - FIRST_ITEM, label="Products in the catalogue")

# %% [markdown]
# ## The naive way, and a better count
#
# The naive way shows everybody what most people buy. A better one remembers who is asking. Neither has
# anything to train.
#
# Let $n_{ui}$ be in how many baskets household $u$ had product $i$, and $c_i$ how often anyone bought it
# in the first part. *Popularity* ranks by $c_i$. *Own frequency* ranks by
#
# $$s_{ui} = n_{ui} + \frac{c_i}{1 + \max_j c_j}$$
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
# Now on the real question. *Recall at K* is the share of the *catalogue products* in a household's basket
# that are among the K shown; what lies outside the catalogue counts neither above nor below the line.
# The intervals come from drawing the households anew many times.

# %%
popular = simple.popularity(encoder.transform(parts.train["item_id"]), encoder.size_)
popular[:FIRST_ITEM] = 0
scores = {
    "popularity": np.tile(popular, (len(exam.users), 1)),
    "own frequency": simple.own_frequency(exam.counts, popular),
}
results = {name: evaluation.evaluate(s, exam, K, seed=SEED) for name, s in scores.items()}
print(evaluation.whole_baskets(results))
comparison({n: f["recall"] for n, f in results.items()}, "popularity", seed=SEED).round(4)

# %% [markdown]
# Own frequency is the *incumbent* below: what a new model has to beat. Any shop has it for the price of
# one query. It shows something new only where a household's own list is shorter than K.
#
# ## Vectors of products
#
# Half of a product's vector comes from its words: rare words weigh more (TF-IDF), and a singular value
# decomposition packs them into a few numbers. The other half comes from its company: pairs that share a
# basket more often than chance (pointwise mutual information). Training then moves both.

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
# Features of the household come from the first quarter of the training time. The sequences are trained
# on what follows, so that no feature knows the future of its own sequence. At the test they are old.

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
# Here $W_\cdot \in \mathbb{R}^{H \times D}$, $U_\cdot \in \mathbb{R}^{H \times H}$, $\sigma$ is the logistic
# function, $\odot$ multiplies element by element, and biases are left out. The gate $z_t$ decides how
# much of the old state stays. With features $f \in \mathbb{R}^F$ and the table of product vectors
# $E \in \mathbb{R}^{V \times D}$, each product gets a score
#
# $$\text{logits} = E \, P \, (h_t + A f) + b, \qquad P \in \mathbb{R}^{D \times H}, \;
# A \in \mathbb{R}^{H \times F}, \; b \in \mathbb{R}^V$$
#
# and a softmax makes probabilities $p$ of them. The same table reads baskets and scores products. The
# loss at a basket is the mean surprise of the products in it, $-\log p_i$. (In the comments below, `K` is
# the number of places in a padded basket.)

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
# The output's bias $b$ starts at the log of the popularity, so that the network has to learn only what
# differs from it. The loss on this page is handed to the learner.

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
# A choice among all products at random would cost the logarithm of the catalogue's size. A falling loss
# in training does not prove that more epochs help: the tuning weeks decide that.
#
# ## The comparison
#
# The network alone, and the network together with habits: its score plus $w \log(1 + n_{ui})$. The
# weight $w$ is chosen in the tuning weeks. Any second score may help a little, so popularity together
# with habits, tuned in the same way, stands beside it as a control.

# %%
batches = (tune_batch, exam_batch)
network = [next_basket.score_all(learner, batch, config.batch_size) for batch in batches]
common = [np.tile(np.log1p(popular), (len(q.users), 1)) for q in (tuning, exam)]
scores["popularity + habits"], _ = evaluation.with_habits(*common, tuning, exam, K)
scores["network"] = network[1]
scores["network + habits"], weight = evaluation.with_habits(*network, tuning, exam, K)
results = {name: evaluation.evaluate(s, exam, K, seed=SEED) for name, s in scores.items()}
recalls = comparison({name: f["recall"] for name, f in results.items()}, "own frequency", seed=SEED)
print(f"weight of habits beside the network, from the tuning weeks: {weight:g}")
others = recalls.drop(index="own frequency")
ax = figures.intervals(others.iloc[:, 3:], f"Recall at {K}, difference to own frequency")
recalls.round(4)

# %% [markdown]
# The last three columns are the difference to own frequency, and the figure draws them. Each dot is a
# mean over the same households; a line that crosses zero decides nothing. The interval says what other
# households would change. It does not know other seeds, other seasons, or that several methods were
# compared: where it ends close to zero, run more seeds and weeks before you decide.
# In words:

# %%
for name, row in recalls.iterrows():
    record(
        f"recall at {K}, {name}",
        row["mean"],
        label=f"Recall at {K}, catalogue products: {name}",
        interval=(row["low"], row["high"]),
    )
    record(f"NDCG at {K}, {name}", np.nanmean(results[name]["NDCG"]))
for name in others.index:
    print(verdict(recalls, name, "own frequency"))
record("verdict", verdict(recalls, "network + habits", "own frequency"), label="Verdict")

# %% [markdown]
# ## Which products does each method find?
#
# A basket holds habits and news. Look at the two apart, and at households with short and long
# histories.

# %%
by_part = evaluation.recall_by_part(scores, exam, K, seed=SEED)
record("recall by part", by_part.reset_index(names="method"))
print(f"{exam.share_new:.0%} of the catalogue products in the answers were new to the household.")
print(evaluation.reading(by_part))
by_part.round(4)

# %% [markdown]
# The second column is how much of what is new to a household each method finds. A low figure means that
# the methods are weak there, not that little is there. Adding habits pushes new products off the list.

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
# HR@10 too. What happens to *popularity*, whose recall you saw above?

# %% tags=["lesson"]
rng = generator(SEED, "sampled ranking")
rows = np.flatnonzero(exam.relevant[:, 0] >= 0)
target = popular[exam.relevant[rows, 0]][:, None]  # one product of each basket, the first by id
drawn = popular[rng.integers(FIRST_ITEM, encoder.size_, (len(rows), 99))]
sampled, full = (np.mean((rivals > target).sum(1) < 10) for rivals in (drawn, popular[None]))
print(
    f"HR@10 among 99 drawn: {sampled:.3f}   among all: {full:.3f}   {sampled / full:.0f} times as high"
)

# %% [markdown] tags=["lesson"]
# The same model, the same households. Among a hundred random products a popular one stands out; among
# thousands it does not. The two figures must never share a table, and a report must say which it is.

# %% [markdown]
# ## What state, action and reward are here
#
# The state is the household's baskets with its features. The action is the list of products. The log
# holds no reward for lists that were never shown: it tells what people buy, not what a recommendation
# would change. That needs an experiment or a simulator.

# %% [markdown] tags=["lesson"]
# In the Complete Journey log the small network alone loses. Together with habits its gain is small, and
# whether the interval passes zero depends on the seed and the epochs. Such a gain is not yet a result.
#
# ## Recall
#
# 1. Why is the ranking full?
#    <details><summary>Answer</summary>A sample of candidates is an easier task with another number.</details>
# 2. Where does the weight of habits come from?
#    <details><summary>Answer</summary>From the tuning weeks. Nothing is chosen from a test figure.</details>
# 3. Why are the differences paired?
#    <details><summary>Answer</summary>The same households are asked; what they share cancels.</details>
# 4. What can own frequency hardly ever do?
#    <details><summary>Answer</summary>Show something new to a household with a long list.</details>
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
# - A network earns its place when the interval of its difference to them, and to the control, lies above
#   zero. The verdict above says whether it did here.
# - Every figure here comes with its protocol: a cut in time, full ranking, intervals over households.
#
# **References.** Cho et al. (2014), *Learning phrase representations using RNN encoder-decoder*, EMNLP ·
# Hidasi et al. (2016), *Session-based recommendations with recurrent neural networks*,
# ICLR · Hu et al. (2020), *Modeling personalized item frequency information for next-basket
# recommendation*, SIGIR · Li et al. (2023), *A next basket recommendation reality check*, ACM TOIS 41(4) ·
# Krichene and Rendle (2020), *On sampled metrics for item recommendation*, KDD
