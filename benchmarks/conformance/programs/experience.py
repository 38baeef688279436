"""Experience and ExperienceBank."""

from pathlib import Path

from observe import note, program, raised


def bank_of(count, **options):
    from rose.rl import Experience, ExperienceBank

    bank = ExperienceBank(**options)
    bank.add_batch([Experience([i], i, float(i), [i + 1], i == count - 1) for i in range(count)])
    return bank


def rewards(experiences):
    return [experience.reward for experience in experiences]


@program
def experiences():
    from rose.rl import Experience
    from rose.rl.experience import create_experience

    made = Experience(state=1, action=2, reward=3.0, next_state=4, done=False)
    note("fields", [made.state, made.action, made.reward, made.next_state, made.done])
    note("info", [made.info, create_experience(1, 2, 3.0, 4, True).info, Experience(1, 2, 3.0, 4, True, {"a": 1}).info])
    note("equal", made == Experience(1, 2, 3.0, 4, False))


@program
def sequence():
    bank = bank_of(4)
    note("length", len(bank))
    note("rewards", rewards(bank))
    note("items", [bank[0].reward, bank[-1].reward, rewards(bank[1:3])])
    with raised("beyond"):
        bank[9]


@program
def limited():
    bank = bank_of(5, max_size=3)
    note("rewards", rewards(bank))
    note("max_size", bank.max_size)


@program
def adding():
    bank, other = bank_of(1), bank_of(2)
    bank.add(other[1])
    note("rewards", rewards(bank))
    bank.clear()
    note("cleared", len(bank))


@program
def sampling():
    bank = bank_of(4)
    note("with replacement", len(bank.sample(9)))
    note("without", sorted(rewards(bank.sample(4, replace=False))))
    with raised("too many"):
        bank.sample(9, replace=False)
    note("of none", bank_of(0).sample(3))


@program
def merging():
    first, second = bank_of(2, max_size=2), bank_of(3, max_size=5)
    merged = first.merge(second)
    note("merged", [rewards(merged), merged.max_size])
    note("unchanged", [len(first), len(second)])
    first.merge_inplace(second)
    note("in place", rewards(first))


@program
def recent():
    bank = bank_of(4)
    note("two", rewards(bank.get_recent(2)))
    note("more than there are", rewards(bank.get_recent(9)))
    note("none", rewards(bank.get_recent(0)))


@program
def saved():
    from rose.rl import ExperienceBank

    path = bank_of(3).save(".", "mine.pkl")
    note("file", [Path(path).name, Path(path).exists()])
    note("loaded", rewards(ExperienceBank.load(path)))
    note("limited", rewards(ExperienceBank.load(path, max_size=2)))


@program
def saved_by_session():
    bank = bank_of(1, session_id="run_7")
    note("session", bank.session_id)
    path = bank.save()
    note("stem", Path(path).stem)
    note("suffix", Path(path).suffix)
    note("automatic", bank_of(1).session_id.startswith("experience_bank_"))


@program
def no_file():
    from rose.rl import ExperienceBank

    with raised("load"):
        note("length", len(ExperienceBank.load("absent.pkl")))


@program
def room_for_none():
    with raised("max_size=0"):
        note("length", len(bank_of(3, max_size=0)))


@program
def pickled_by_rose():
    import pickle

    from rose.rl import ExperienceBank

    with open("old.pkl", "wb") as file:
        pickle.dump(list(bank_of(2)), file)
    with raised("load"):
        note("rewards", rewards(ExperienceBank.load("old.pkl")))
