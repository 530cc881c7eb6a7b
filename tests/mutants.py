"""Faults seen in tutorials and programs, each as a small change to this package.

`test_mutants.py` makes each change in a copy and checks that a test fails there.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One fault."""

    name: str
    erratum: str  # of the course's list of errors in the literature; "" where it has none
    file: str  # in companion/
    old: str  # occurs exactly once in the file
    new: str
    test: str  # file::name; it must fail


RULE = "    if not step.terminated:\n        target += rates.gamma * "
NO_MASK = "    if True:\n        target += rates.gamma * "
DRAW = "draw = rng.random()\n"
MOVED = (
    "step = Step(state, action, reward, next_state, -1, terminated)\n"
    "        q[state, action] = update(q, step, turn.rates)\n        first"
)
SARSA_TARGET = (
    "R + gamma Q(S', A') - Q(S, A)]\n"
    '    """\n'
    "    target = step.reward\n"
    f"{RULE}q[step.next_state, step.next_action]"
)
CARRIES = (
    "q[state, action] = update(q, step, turn.rates)\n"
    "        state, action = next_state, next_action\n"
)
SEEN = "before, actions, reward, self.obs, terminated, truncated, self.mask"
DUE = "while self.syncs < self.step // self.config.sync_every:"
ENDS = "ends = batch.terminated"
EXACT = "test_learning.py::test_tables_find_the_exact_values"
CHAIN = "test_learning.py::test_dqn_finds_the_exact_values_of_a_chain"
BEYOND = "test_learning.py::test_values_go_on_beyond_a_time_limit_and_stop_at_the_end"
SHARES = (
    "test_learning.py::"
    "test_equal_values_are_decided_at_random_and_epsilon_is_the_share_of_exploring"
)
IDENTITY = "test_learning.py::test_the_identity_task_is_learnt"
MEAN = "test_learning.py::test_priorities_do_not_shift_the_mean"
REACH = "test_learning.py::test_n_steps_do_not_reach_across_the_end"
STILL = "test_learning.py::test_the_target_stands_still_between_its_moves"

MUTANTS = [
    # --- the rules of tables
    Mutant(
        "max in Sarsa's place",
        "E14",
        "rl/tabular.py",
        SARSA_TARGET,
        SARSA_TARGET.replace("q[step.next_state, step.next_action]", "highest(q[step.next_state])"),
        "test_learning.py::test_the_cliff_of_example_6_6[sarsa]",
    ),
    Mutant(
        "Q-learning looks beyond the end",
        "E16",
        "rl/tabular.py",
        f"{RULE}highest(q[step.next_state])",
        f"{NO_MASK}highest(q[step.next_state])",
        f"{EXACT}[q_learning]",
    ),
    Mutant(
        "Sarsa looks beyond the end",
        "E16",
        "rl/tabular.py",
        SARSA_TARGET,
        SARSA_TARGET.replace(RULE, NO_MASK),
        f"{EXACT}[sarsa]",
    ),
    Mutant(
        "Expected Sarsa looks beyond the end",
        "E16",
        "rl/tabular.py",
        f"{RULE}epsilon_greedy_value",
        f"{NO_MASK}epsilon_greedy_value",
        f"{EXACT}[expected_sarsa]",
    ),
    Mutant(
        "double Q-learning looks beyond the end",
        "E16",
        "rl/tabular.py",
        "    if not step.terminated:\n        best = np.argmax(",
        "    if True:\n        best = np.argmax(",
        f"{EXACT}[double_q_learning]",
    ),
    Mutant(
        "double Q-learning values its choice with the same table",
        "E10",
        "rl/tabular.py",
        "rates.gamma * other[step.next_state, best]",
        "rates.gamma * q[step.next_state, best]",
        "test_learning.py::test_the_maximisation_bias_of_example_6_7",
    ),
    Mutant(
        "the next state is the same state, in the loop of tables",
        "E17",
        "rl/tab_episodes.py",
        MOVED,
        MOVED.replace("next_state", "state"),
        f"{EXACT}[q_learning]",
    ),
    Mutant(
        "Sarsa takes another action than it has learnt from",
        "E14",
        "rl/tab_episodes.py",
        CARRIES,
        f"{CARRIES}        action = epsilon_greedy(q[state], turn.rates.epsilon, turn.rng)\n",
        "test_learning.py::test_sarsa_walks_the_action_that_it_has_learnt_from",
    ),
    # --- choosing
    Mutant(
        "epsilon the wrong way round, row by row",
        "E15",
        "rl/explore.py",
        DRAW,
        "draw, epsilon = rng.random(), 1.0 - epsilon\n",
        "test_learning.py::test_the_cliff_of_example_6_6[q_learning]",
    ),
    Mutant(
        "epsilon the wrong way round, in batches",
        "E15",
        "rl/explore.py",
        "draw = rng.random(len(q))",
        "draw, epsilon = rng.random(len(q)), 1.0 - epsilon",
        f"{IDENTITY}[table-plain]",
    ),
    Mutant(
        "the first of equals, row by row",
        "",
        "rl/explore.py",
        "lowest, share = best, (draw - epsilon) / (1.0 - epsilon)",
        "lowest, share = best, 0.0",
        f"{SHARES}[0.1-row]",
    ),
    Mutant(
        "the first of equals, in batches",
        "",
        "rl/explore.py",
        "return _pick(candidates, count, share)",
        "return _pick(candidates, count, np.where(explore, share, 0.0))",
        f"{SHARES}[0.1-batch]",
    ),
    # --- what is stored
    Mutant(
        "the next state is the same state, when stepping",
        "E17",
        "rl/rollout.py",
        SEEN,
        SEEN.replace("self.obs", "before"),
        f"{CHAIN}[table-plain]",
    ),
    Mutant(
        "the next state is the same state, when storing",
        "E17",
        "rl/training.py",
        "found.reward, found.next_obs,",
        "found.reward, found.obs,",
        f"{CHAIN}[table-plain]",
    ),
    Mutant(
        "the next state is the first of the next episode",
        "E18",
        "rl/rollout.py",
        "return step._replace(next_obs=next_obs, next_mask=next_mask)",
        "return step",
        "test_learning.py::test_a_vector_of_environments_is_cut_off_where_it_is_not_where_it_begins_again",
    ),
    Mutant(
        "a time limit ends the task, when stepping",
        "E18",
        "rl/rollout.py",
        SEEN,
        SEEN.replace("terminated,", "ended,"),
        f"{BEYOND}[table]",
    ),
    Mutant(
        "a time limit ends the task, when storing",
        "E18",
        "rl/training.py",
        "found.next_obs, found.terminated\n",
        "found.next_obs, ended\n",
        f"{BEYOND}[table]",
    ),
    Mutant(
        "n steps reach across the end",
        "",
        "rl/n_step.py",
        "np.where(ended, count[env], count[env] == self._n)",
        "(count[env] == self._n)",
        f"{REACH}[table]",
    ),
    Mutant(
        "n steps bootstrap with gamma rather than gamma^n",
        "",
        "rl/n_step.py",
        'waiting["discount"][env] *= self._gamma',
        "pass",
        f"{REACH}[table]",
    ),
    Mutant(
        "draws by priority without weights",
        "E25",
        "rl/prioritized.py",
        "** self.beta",
        "** 0.0",
        f"{MEAN}[table]",
    ),
    # --- targets
    Mutant(
        "the target network never moves",
        "E20",
        "rl/training.py",
        DUE,
        "while False:",
        f"{CHAIN}[table-plain]",
    ),
    Mutant(
        "the target network moves at every step",
        "E20",
        "rl/training.py",
        DUE,
        "for _ in range(1):",
        STILL,
    ),
    Mutant(
        "no end in the target, NumPy",
        "E18",
        "rl/targets.py",
        f"{ENDS}\n",
        f"{ENDS} & False\n",
        f"{BEYOND}[table]",
    ),
    Mutant(
        "forbidden actions count in the target, NumPy",
        "",
        "rl/targets.py",
        "best_allowed(chooser, batch.next_mask)",
        "best_allowed(chooser)",
        "test_learning.py::test_forbidden_actions_are_neither_taken_nor_counted[table]",
    ),
    Mutant(
        "no end in the target, PyTorch",
        "E18",
        "pytorch/dqn.py",
        f"{ENDS}  # [B]",
        "ends = torch.zeros_like(batch.terminated)",
        f"{BEYOND}[pytorch]",
    ),
    Mutant(
        "no end in the target, TensorFlow",
        "E18",
        "tensorflow/dqn.py",
        f"{ENDS}  # [B]",
        "ends = tf.zeros_like(batch.terminated)",
        f"{BEYOND}[tensorflow]",
    ),
    Mutant(
        "the weights are dropped, PyTorch",
        "E25",
        "pytorch/dqn.py",
        "if batch.weight is not None:",
        "if False:",
        f"{MEAN}[pytorch]",
    ),
    Mutant(
        "the weights are dropped, TensorFlow",
        "E25",
        "tensorflow/dqn.py",
        "if batch.weight is not None:",
        "if False:",
        f"{MEAN}[tensorflow]",
    ),
    # --- whole pages, and learning from a log, PyTorch
    Mutant(
        "SlateQ shows the highest values, PyTorch",
        "",
        "pytorch/slate_q.py",
        "for _ in range(model.rounds):",
        "for _ in range(0):",
        "test_twins_slate_q.py::test_the_best_pages_are_those_of_the_exact_search[pytorch]",
    ),
    Mutant(
        "SlateQ forgets that nothing may be clicked, PyTorch",
        "",
        "pytorch/slate_q.py",
        " + one * q[:, -1]",
        "",
        "test_twins_slate_q.py::test_the_exact_values_and_pages_are_learnt[pytorch-0.9]",
    ),
    Mutant(
        "SlateQ looks beyond the end, PyTorch",
        "E18",
        "pytorch/slate_q.py",
        "torch.where(batch.terminated, 0.0, future)",
        "future",
        "test_twins_slate_q.py::test_the_end_of_an_episode_is_worth_its_reward[pytorch]",
    ),
    Mutant(
        "conservative in name only, PyTorch",
        "",
        "pytorch/offline.py",
        "of_dqn + alpha * ",
        "of_dqn + 0 * ",
        "test_twins_offline.py::test_what_was_not_done_is_pushed_down_and_what_was_done_up[pytorch]",
    ),
    # --- whole pages, and learning from a log, TensorFlow
    Mutant(
        "SlateQ shows the highest values, TensorFlow",
        "",
        "tensorflow/slate_q.py",
        "for _ in range(model.rounds):",
        "for _ in range(0):",
        "test_twins_slate_q.py::test_the_best_pages_are_those_of_the_exact_search[tensorflow]",
    ),
    Mutant(
        "SlateQ forgets that nothing may be clicked, TensorFlow",
        "",
        "tensorflow/slate_q.py",
        " + one * q[:, -1]",
        "",
        "test_twins_slate_q.py::test_the_exact_values_and_pages_are_learnt[tensorflow-0.9]",
    ),
    Mutant(
        "SlateQ looks beyond the end, TensorFlow",
        "E18",
        "tensorflow/slate_q.py",
        "tf.where(batch.terminated, 0.0, future)",
        "future",
        "test_twins_slate_q.py::test_the_end_of_an_episode_is_worth_its_reward[tensorflow]",
    ),
    Mutant(
        "conservative in name only, TensorFlow",
        "",
        "tensorflow/offline.py",
        "of_dqn + alpha * ",
        "of_dqn + 0 * ",
        "test_twins_offline.py::test_what_was_not_done_is_pushed_down_and_what_was_done_up[tensorflow]",
    ),
    Mutant(
        "any action is taken for the log's",
        "",
        "rl/offline.py",
        "supported(behaviour(obs, mask), mask, threshold)",
        "mask",
        "test_rl_offline.py::test_who_acts_stays_within_the_log",
    ),
]
