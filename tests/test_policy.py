"""The policy, driven by any order of events."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.fleet.policy import MAX_LOSSES, Failed, Finished, GiveUp, Lease, Lost, Policy, Ready, Replace


@given(st.integers(0, 12), st.integers(1, 4), st.lists(st.integers(0, 9), max_size=200), st.randoms())
def test_every_split_ends_once_whatever_happens(splits, workers, luck, random):
    names = [(f"s{i}", random.randint(1, 100)) for i in range(splits)]
    policy = Policy(names, workers)
    leased, ended, given_up = {}, [], []
    fates = iter(luck)

    def obey(commands):
        for command in commands:
            if isinstance(command, Lease):
                assert command.worker not in leased  # one lease a worker
                assert command.split not in [lease.split for lease in leased.values()]  # one worker a split
                assert command.split not in ended
                leased[command.worker] = command
            elif isinstance(command, GiveUp):
                given_up.append(command.split)
            elif isinstance(command, Replace):
                obey(policy.on(Ready(command.worker)))

    for worker in range(workers):
        obey(policy.on(Ready(worker)))
    steps = 0
    while not policy.over:
        steps += 1
        assert steps < 10 * (splits + 1) * (MAX_LOSSES + 2)
        assert leased, "work waits and nobody has any"
        worker = random.choice(sorted(leased))
        lease, fate = leased.pop(worker), next(fates, 5)
        if fate == 0:
            obey(policy.on(Lost(worker)))
            obey(policy.on(Finished(lease.number)))  # a message of the dead changes nothing
        else:
            ended += [lease.split] if fate > 2 else []
            obey(policy.on(Failed(lease.number, again=fate == 1) if fate <= 2 else Finished(lease.number)))
            obey(policy.on(Ready(worker)))
    assert sorted(ended + given_up) == sorted(name for name, _ in names)
    assert policy.finished == set(ended)
    assert policy.given_up == set(given_up)


def test_large_splits_first_and_careful_after_a_death():
    policy = Policy([("a", 1), ("b", 9), ("c", 5)], workers=2)
    assert policy.on(Ready(0)) == [Lease(0, 0, "b")]
    assert policy.on(Ready(1)) == [Lease(1, 1, "c")]
    assert policy.on(Lost(0)) == [Replace(0)]
    assert policy.on(Ready(0)) == [Lease(2, 0, "b", careful=True)]
