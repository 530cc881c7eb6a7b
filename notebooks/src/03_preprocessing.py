# %% [markdown]
# # 3 · Preprocessing behaviour logs
#
# **Question.** A shop hands you its log. Which rows may a model learn from, and what must it
# never see?
#
# ~25 min · needs Python and a little pandas · runs in under a minute on two CPU cores
#
# Afterwards you can read a log without losing an id, clean it with a receipt for every row,
# split it so that the future stays in the future, and turn it into padded arrays with a mask.

# %% tags=["parameters"]
SEED = 0
DATA = "complete-journey"  # or a path to a log of your own, from `companion data import`

# %% tags=["pytorch"]
from io import StringIO

import numpy as np
import pandas as pd
import polars as pl
import torch
from torch import Tensor

from companion.course.answers import check
from companion.data import clean, features, ingest, parse, prepare, sequences, sources, split
from companion.data.features import SILENCE
from companion.data.order import micros, new_user
from companion.data.transformers import IdEncoder, number_pipeline
from companion.plots import figures
from companion.pytorch.runtime import setup
from companion.reports.record import record

runtime = setup(SEED)

# %% tags=["tensorflow"]
from io import StringIO

import numpy as np
import pandas as pd
import polars as pl

from companion.course.answers import check
from companion.data import clean, features, ingest, parse, prepare, sequences, sources, split
from companion.data.features import SILENCE
from companion.data.order import micros, new_user
from companion.data.transformers import IdEncoder, number_pipeline
from companion.plots import figures
from companion.reports.record import record
from companion.tensorflow.runtime import setup

import tensorflow as tf
from tensorflow import Tensor

runtime = setup(SEED)

# %% [markdown]
# ## Nine rows from a shop
#
# Look before you compute. Below are nine rows of a log, as a shop might export them. Try to find
# six things that could go wrong. (There are more.)

# %%
DIRTY = """user_id,item_id,event,timestamp,price
9007199254740993,007,view,1700000000,4.50
9007199254740992,7,view,1700000000000,1.20
9007199254740992,7,view,1700000000000,1.20
,42,cart,1700000100,3.00
9007199254740993,007,buy,1700000200,4.50
9007199254740993,007,buy,1700000900,4.50
9007199254740993,42,buy,1700001000,-3.00
9007199254740992,42,view,2023-11-14T23:00:00+01:00,
9007199254740992,42,buy,tomorrow,3.00
"""
print(DIRTY)

# %% [markdown]
# ## The naive way
#
# Read it, drop the duplicates, fill the gaps with the mean. Such lines stand in many tutorials, and in
# the document that this course started from. How many users and items are there really? Two users, and
# three items: `007`, `7` and `42`.

# %%
naive = pd.read_csv(StringIO(DIRTY)).drop_duplicates()
naive = naive.fillna(naive.mean(numeric_only=True))
print(f"{naive['user_id'].nunique()} users, {naive['item_id'].nunique()} items")
naive

# %% [markdown]
# Nothing complained, and four things are wrong.
#
# - One missing id turned the whole column into floats, which are exact for whole numbers only up to
#   $2^{53}$. The two users became one: their ids differ in the last digit, and it is gone.
# - The gap in `user_id` was filled with the mean of all ids. Here that is the id of the merged user, so a
#   stranger's cart became theirs.
# - `007` and `7` are two products. As numbers they are one.
# - A missing price became 2.53, a mean that a refund of 3.00 has pulled down.
#
# ## Everything is text until someone decides
#
# The cure is dull and reliable. Read all as text. Then parse each column on purpose, and let every
# value either become what it should be or get a *reason*. Ids show both.

# %% tags=["nbval-check-output"]
column = pl.Series("user_id", ["007", "7", "9007199254740993", "1.23E+18", ""])
for value, reason in zip(*parse.ids(column), strict=True):
    print(f"{value!s:18} {reason or ''}")

# %% [markdown]
# A text id stays as it is, zeros and all. An id in scientific notation has lost digits in a
# spreadsheet, and no later step can bring them back.
#
# `to_events` does this for each column of the log's schema. A row is either an event or it is
# rejected, with its line and the reason. Nothing is lost in silence.

# %% tags=["nbval-check-output"]
found = ingest.to_events(pd.read_csv(StringIO(DIRTY), dtype=str))
print(*found.notes)
print(f"{found.events['user_id'].nunique()} users, {found.events['item_id'].nunique()} items")
print(f"{len(found.events)} events + {len(found.rejected)} rejected = 9 rows")
found.rejected[["line", "reason"]]

# %% [markdown]
# Two users again. Seconds, milliseconds and a local time with its offset all became instants in
# UTC. Each number told its own unit, because the years 1990 to 2099 do not overlap between units. `buy`
# became `purchase`, a name of the schema. (Rows are counted here without the header.)
#
# ## Duplicates and repeats
#
# Two of the six events are copies of each other. Two others are the same user buying the same item at
# different times, and those are real. A shopper who buys milk each week is the best thing that a
# recommender can know. (Where a log has no line numbers, two units scanned in one second look like a
# copy too: ask the shop.)

# %%
once = clean.remove_duplicates(found.events)
by_pair = found.events.drop_duplicates(["user_id", "item_id", "event"])  # wrong on purpose
print(f"exact copies removed: {len(once.events)} events stay")
print(f"one row per user, item and event: {len(by_pair)} stay, and a purchase is gone")

# %% [markdown]
# ## Sessions
#
# A *session* is a visit. By convention it ends after 30 minutes without an event. The rule needs
# instants: on the night the clocks go back, 1:30 comes twice, and a log in local time loses an hour.

# %% tags=["include"]
# companion.data.features: session_numbers

# %% [markdown]
# `begins` is true where the user changes or the silence was too long. Its running sum numbers the
# sessions of the whole log, and each user's first number is then taken off. No loop over users is
# needed. By hand: events of one user at minutes 0, 10, 50 and 60. The silence before 50 is 40 minutes, so
# the sessions are 1, 1, 2, 2.

# %% tags=["nbval-check-output"]
minutes = pl.Series([0, 10, 50, 60])
visits = pl.DataFrame(
    {
        "user_id": ["u"] * 4,
        "timestamp": pl.datetime_range(
            pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 1, 1), "1m", time_zone="UTC", eager=True
        )[minutes],
    }
)
session_numbers(visits).tolist()

# %% [markdown]
# ## Scaling, and who is allowed to choose the scale
#
# Prices and counts live on different scales. With $x \in \mathbb{R}^{N}$ the values of one feature,
#
# $$z = \frac{x - \mu_{\text{train}}}{\sigma_{\text{train}}}
# \qquad\text{and}\qquad
# m = \frac{x - \min_{\text{train}}}{\max_{\text{train}} - \min_{\text{train}}}$$
#
# are the standard and the min-max scaling. $\mu$, $\sigma$, min and max are numbers, and all four
# come from the training part alone. The same holds for the mean that fills a gap, and for the list
# of known ids.
#
# By hand: training values 0, 2, 4 and a test value 100. Then $\mu = 2$,
# $\sigma = \sqrt{(4 + 0 + 4)/3} = 1.63299$, and $z = 98 / \sqrt{8/3} = 60.0125$; the min-max scale gives
# $m = 100 / 4 = 25$. They should look absurd: they are. (`number_pipeline()[-1]` is the scaler, the last
# step of a pipeline that fills, clips and scales.)

# %% tags=["nbval-check-output"]
train, test = np.array([[0.0], [2.0], [4.0]]), np.array([[100.0]])
scaler = number_pipeline()[-1]
honest = scaler.fit(train).transform(test)[0, 0]
leaky = scaler.fit(np.concatenate([train, test])).transform(test)[0, 0]  # wrong on purpose
print(f"fitted on train: {honest:.4f}    fitted on everything: {leaky:.4f}")

# %% [markdown]
# Fitted on everything, the outlier looks like an ordinary 1.73. The test has told the training what
# to expect, and tomorrow nobody will.
#
# ## A whole log
#
# Now the size of a real log: one year of purchases in a grocery chain, from the Complete Journey data. It
# is retailer-released teaching data, described as simulated by its Python packager, so we never call it
# a record of real customers. Each line is one product in one basket. `record` keeps a figure for the
# report's `results.json`; it shows nothing.

# %%
log = sources.load_or_sample(DATA)
record("device", runtime.device)
record("data", log.name)
print(f"{log.name}: {len(log.events):,} events, {log.events['user_id'].n_unique():,} users")
print(log.about)
log.events.head(3).to_pandas()

# %% [markdown]
# Each step of the cleaning says how many rows it touched; *changed* counts rows that were moved or
# altered, and sorting moves almost all. The limits are declared, not learned. In this log a line of 0
# units has no sale behind it, and a line of more than 100 units is petrol, counted in small units.

# %%
steps = [clean.sort_by_time, clean.remove_duplicates, *prepare.limited(log.events, log.name)]
cleaned = clean.clean(log.events, steps)
events = cleaned.events
record("rows read", len(log.events), label="rows read")
record("rows rejected", len(cleaned.rejected), label="rows set aside in cleaning")
assert len(events) + len(cleaned.rejected) == len(log.events)
cleaned.receipt()

# %% [markdown]
# The rows that went are not lost: `clean.write_rejected` writes them with line and reason. If a
# step let a row slip away, `clean` would stop.
#
# ## Look at the clock

# %%
hours = features.add_local_time(events, "UTC")["hour"].value_counts().sort("hour")
ax = figures.bars(hours["count"], "Events by hour of the day, read as UTC", "hour", "events")
# %% [markdown]
# Read as UTC, the tills of the Complete Journey log are busiest at 21 to 22, still busy at midnight, and
# empty at 8 in the morning. No grocer would believe it. Most likely the zone was dropped: the shops are
# in the United States, several hours behind. For the order of events it does not matter. For a feature
# such as "evening shopper" it does.
#
# ## Splitting: what is like tomorrow?
#
# | cut | answers | lets through |
# |---|---|---|
# | by time | how good is it next week? | no later event; new users and items remain |
# | by user | how good is it for people we never met? | other people's events of the same weeks |
# | leave the last out | how good is it at each user's next step? | other users' futures |
# | cross-validation | how much does the answer vary? | whatever its folds are cut by |
#
# `leaks` counts it, against the first test event of anyone. In a log of baskets, leaving out the last
# *line* has a second leak: the rest of the same receipt stays in training.

# %%
by_time = split.by_share(events, validation=0.1, test=0.1)
last_out = split.leave_last_out(events)
print("by time:          ", split.leaks(by_time.train, by_time.test))
print("leave last out:   ", split.leaks(last_out.train, last_out.test))
record(
    "future events in training, leave last out", split.leaks(last_out.train, last_out.test).future
)
weeks = events.group_by(pl.col("timestamp").dt.truncate("1w")).len().sort("timestamp")
starts = (by_time.validation["timestamp"].min(), by_time.test["timestamp"].min())
cuts = dict(zip(("validation", "test"), starts, strict=True))
ax = figures.parts(weeks["timestamp"], weeks["len"], cuts, "Events per week, and where parts begin")
# %% [markdown]
# All training events lie to the left of both lines; the first and the last week are part weeks. A model
# fitted there is asked about a time that it has not seen, as it will be in use.
#
# ## From events to arrays
#
# A network wants rectangles. Ids become whole numbers: 0 is padding, 1 is "unknown", known items
# start at 2. Unknown gets a place of its own. As 0 it would be masked out. As -1 it would read the
# last item's row in NumPy and Keras, and stop `torch.nn.Embedding` with an error.

# %%
encoder = IdEncoder().fit(by_time.train["item_id"])
history = sequences.histories(by_time.train, encoder, length=5)
print(f"items {history.items.shape}, known ids {encoder.size_ - 2:,}")
new_items = encoder.count_unknown(by_time.test["item_id"].unique())
print(f"test items that training never saw: {new_items:,}")
shortest = history.mask.sum(axis=1).argmin()
print("shortest history:", history.items[shortest], history.mask[shortest])

# %% [markdown]
# $B$ users and $T$ steps give `items [B, T]` and `mask [B, T]`, true where there is an item. Whatever
# a network computes, padding must have no say in it. The smallest case is a mean, with vectors
# $x_t \in \mathbb{R}^D$ and mask $m_t \in \{0, 1\}$:
#
# $$\bar x = \frac{\sum_t m_t x_t}{\max(1, \sum_t m_t)}$$
#
# By hand: two items with vectors 1 and 3, then two places of padding whose vector happens to be 5. The
# masked mean is $(1 + 3) / 2 = 2$. The plain mean says 3.5.

# %% tags=["include"]
# companion.{framework}.encoders: masked_mean

# %% [markdown] tags=["pytorch"]
# `torch.where` picks zero at padding *before* the sum, so that not even an infinite value there can
# reach the result. `clamp(min=1)` turns 0/0 for an empty history into 0/1. Replacing a NaN afterwards
# would repair the value and leave its gradient broken.

# %% [markdown] tags=["tensorflow"]
# `tf.where` picks zero at padding *before* the sum, so that not even an infinite value there can
# reach the result. `tf.maximum` turns 0/0 for an empty history into 0/1. Keras's own
# `GlobalAveragePooling1D` gives NaN for such a row, and `mask_zero` alone does not zero a vector.

# %% tags=["pytorch", "nbval-check-output"]
vectors = torch.tensor([[[1.0], [3.0], [5.0], [5.0]], [[5.0], [5.0], [5.0], [5.0]]])  # [B, T, D]
mask = torch.tensor([[True, True, False, False], [False, False, False, False]])  # [B, T]
print("plain mean: ", vectors.mean(1)[:, 0].tolist())
print("masked mean:", masked_mean(vectors, mask)[:, 0].tolist())

# %% tags=["tensorflow", "nbval-check-output"]
vectors = tf.constant([[[1.0], [3.0], [5.0], [5.0]], [[5.0], [5.0], [5.0], [5.0]]])  # [B, T, D]
mask = tf.constant([[True, True, False, False], [False, False, False, False]])  # [B, T]
print("plain mean: ", tf.reduce_mean(vectors, 1)[:, 0].numpy().tolist())
print("masked mean:", masked_mean(vectors, mask)[:, 0].numpy().tolist())

# %% [markdown]
# ## What breaks it: the order of the till
#
# **Predict first.** Take pairs of neighbouring lines within a basket, learn from the training weeks
# which item follows which, and predict the follower in the test weeks. Then shuffle the lines within
# each basket and do it again. A basket is a set, so nothing should change. What do you expect?


# %%
def follower_hit_rate(train, test, k=10):
    """How often the next line of a basket is among the k most frequent followers in training."""
    pair = {"next": pl.col("item_id").shift(-1).over("user_id", "session_id")}
    train, test = (part.with_columns(**pair).drop_nulls("next") for part in (train, test))
    counts = train.group_by("item_id", "next", maintain_order=True).len()
    counts = counts.sort("len", descending=True, maintain_order=True)
    best = counts.group_by("item_id", maintain_order=True).head(k).select("item_id", "next")
    return test.join(best, on=["item_id", "next"], how="semi").height / test.height


def shuffled(part, seed):
    return part.sample(fraction=1.0, shuffle=True, seed=seed)


def till(part):
    return part.sort("timestamp", "line")


pairs = by_time
if "session_id" not in events.columns:
    pairs = split.Split(*map(features.add_sessions, by_time))
as_logged = follower_hit_rate(till(pairs.train), till(pairs.test))
as_a_set = follower_hit_rate(shuffled(pairs.train, 1), shuffled(pairs.test, 2))
print(f"order of the till: {as_logged:.3f}    shuffled: {as_a_set:.3f}")
record("follower hit rate at 10, order of the till", as_logged)
record("follower hit rate at 10, shuffled", as_a_set)
if log.name == "complete-journey":
    assert as_logged > 1.2 * as_a_set, "the till's order no longer shows"

# %% [markdown]
# The stored order "predicts" the next item far better, and it is a trick: in the Complete Journey log each
# basket is stored by product number. Whoever sorted it, it was not the shopper. The same happens when a
# sort breaks ties in time by item id. `sort_by_time` keeps ties as the log has them, and
# `sequences.baskets` treats a basket as the set that it is.
#
# ## What the shop's agent will see
#
# These arrays become the *state* of every later chapter: the history with its mask, and features as
# of that moment. The *action* is an item to show. The *reward* will come from events such as clicks
# and purchases. A state that contains tomorrow makes every policy look brilliant, until it is live.

# %% [markdown] tags=["lesson"]
# ## Recall
#
# 1. Why is a missing user id dangerous for the *other* ids?
#    <details><summary>Answer</summary>The column becomes float, and ids above 2^53 lose digits.</details>
# 2. Which of a log's repeats must stay?
#    <details><summary>Answer</summary>All but exact copies: a repeat purchase is a habit.</details>
# 3. What may be learned from the test part?
#    <details><summary>Answer</summary>Nothing: no mean, no scale, no list of ids.</details>
# 4. A split orders each user's events correctly. Can it still leak?
#    <details><summary>Answer</summary>Yes: other users' later events are in training.</details>
# 5. Why is "unknown" neither 0 nor -1?
#    <details><summary>Answer</summary>0 is masked out as padding; -1 reads the last row, or stops.</details>

# %% [markdown] tags=["lesson"]
# ## Exercise 3.1
#
# Number the sessions of one user. `seconds` is sorted; a new session begins after a silence of *more*
# than `silence` seconds. The first session is 1.


# %% tags=["lesson"]
def sessions(seconds, silence):
    """[T] times -> [T] session numbers"""
    # solution
    gaps = np.diff(np.asarray(seconds))
    return 1 + np.concatenate([[0], np.cumsum(gaps > silence)])


check("03.1", sessions)

# %% [markdown] tags=["lesson"]
# ## Exercise 3.2
#
# Fill the gaps (NaN) of both parts with a mean. Which mean may you use? Return the two filled arrays.


# %% tags=["lesson"]
def fill(train, test):
    """[N], [M] with gaps -> [N], [M] without"""
    # solution
    mean = np.nanmean(train)
    return np.where(np.isnan(train), mean, train), np.where(np.isnan(test), mean, test)


check("03.2", fill)

# %% [markdown] tags=["lesson"]
# ## Exercise 3.3
#
# Give each id of the test its index: known ids of the training part from 2, in order of first
# appearance; 1 for an unknown one.


# %% tags=["lesson"]
def indices(train_ids, test_ids):
    """[N] ids, [M] ids -> [M] whole numbers"""
    # solution
    known = {name: place for place, name in enumerate(dict.fromkeys(train_ids), start=2)}
    return [known.get(name, 1) for name in test_ids]


check("03.3", indices)

# %% [markdown]
# ## Summary
#
# - Read as text, parse on purpose, and give every rejected row its line and its reason.
# - Whatever is learned from data is learned from the training part, which lies before the test.
# - Arrays carry a mask, unknown has its own index, and padding has no say.
#
# **Next:** chapter 13 takes this log to a report. On the way, chapters 4 to 6 build the encoders.
#
# **References.** Kaufman et al. (2012), *Leakage in data mining: formulation, detection, and avoidance*, ACM TKDD 6(4) ·
# Ji et al. (2023), *A critical study on data leakage in recommender system offline evaluation*,
# ACM TOIS 41(3) · Complete Journey 2.0, 84.51° / dunnhumby
