"""The API in a notebook's cells: run it whole, or cell by cell in an editor that knows `# %%`."""

# %% A trial of the chapter's LMModel4, trained here and now
from unrolled import compare, learner, results, train, trial

trained = train(trial("lm4", epochs=3))
print(f"LMModel4 after three epochs: {trained.metrics['valid_accuracy']:.1%} of the words")

# %% The results of a study that was run, as a table with a row a trial: of
# unrolled run docs/examples/min_gru.toml --plugin docs/examples/min_gru.py
table = results("min-gru")
print(table.groupby("arm")[["valid_accuracy", "valid_loss", "speed_train"]].mean())

# %% Its verdict
print(compare("min-gru", "minGRU"))

# %% The best trial's model as a fastai Learner, to go on with
best = table.loc[table.valid_accuracy.idxmax(), "trial"]
learn = learner(best, plugins=["docs/examples/min_gru.py"])
learn.fit_one_cycle(1, 1e-3)
