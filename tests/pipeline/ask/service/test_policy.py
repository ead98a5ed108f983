"""The queue of questions, in simulated time: who is next, who is refused, and that nobody starves."""

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ask.service.policy import QuestionClass, QuestionQueue, QueueLimits, Waiting

SPEED = 20_000.0
LIMITS = QueueLimits(batch_tokens=1024, tokens_per_s=SPEED)


def waiting(key, priority=QuestionClass.NORMAL, now=0.0, tokens=250, deadline=100.0):
    return Waiting(key, priority, tokens, now, now + deadline)


def let_in(queue, *some, now=0.0):
    for one in some:
        assert queue.offer(one, now) is None


def order(queue, now=0.0):
    batch, late = queue.take(now)
    assert not late
    return [one.key for one in batch]


def test_higher_classes_go_first_and_within_one_who_came_first():
    queue = QuestionQueue(LIMITS)
    let_in(
        queue,
        waiting("l", QuestionClass.LOW),
        waiting("n1"),
        waiting("h1", QuestionClass.HIGH),
        waiting("h2", QuestionClass.HIGH),
    )
    assert order(queue) == ["h1", "n1", "l", "h2"]


def test_classes_get_their_shares_while_all_wait():
    queue = QuestionQueue(QueueLimits(batch_tokens=1, shares=(4.0, 2.0, 1.0), tokens_per_s=SPEED))
    let_in(queue, *(waiting((priority, i), priority, tokens=100) for priority in QuestionClass for i in range(70)))
    counts = Counter(order(queue)[0][0] for _ in range(70))
    assert counts == {QuestionClass.HIGH: 40, QuestionClass.NORMAL: 20, QuestionClass.LOW: 10}


def test_a_class_that_did_not_wait_has_nothing_saved_up():
    queue = QuestionQueue(QueueLimits(batch_tokens=1, shares=(4.0, 2.0, 1.0), tokens_per_s=SPEED))
    let_in(queue, *(waiting(i, tokens=100) for i in range(100)))
    for _ in range(50):
        order(queue)
    let_in(queue, *(waiting(("l", i), QuestionClass.LOW, tokens=100) for i in range(30)))
    lows = sum(isinstance(order(queue)[0], tuple) for _ in range(30))
    assert lows == 10


def test_a_batch_has_its_tokens_and_at_least_one_question():
    queue = QuestionQueue(QueueLimits(batch_tokens=600, tokens_per_s=SPEED))
    let_in(queue, waiting(1, tokens=5000), *(waiting(i, tokens=250) for i in range(2, 6)))
    assert [order(queue) for _ in range(3)] == [[1], [2, 3], [4, 5]]
    assert (len(queue), queue.tokens) == (0, 0)


def test_what_would_come_too_late_is_refused_at_once_and_dropped_before_it_is_read():
    queue = QuestionQueue(LIMITS)
    let_in(queue, waiting("long", tokens=30_000, deadline=3.0))
    refused = queue.offer(waiting("n", deadline=1.0), 0.0)
    assert (refused.why, refused.retry_after_s >= 1.0) == ("late", True)
    let_in(queue, waiting("h", QuestionClass.HIGH, deadline=1.0))
    batch, late = queue.take(1.6)
    assert ([one.key for one in batch], [one.key for one in late]) == ([], ["h", "long"])


def test_a_full_class_is_refused_and_the_others_do_not_notice():
    queue = QuestionQueue(QueueLimits(batch_tokens=1024, waiting_tokens=1000, tokens_per_s=SPEED))
    let_in(queue, *(waiting(f"l{i}", QuestionClass.LOW) for i in range(4)))
    assert queue.offer(waiting("l5", QuestionClass.LOW), 0.0).why == "full"
    let_in(queue, waiting("h", QuestionClass.HIGH, tokens=400))
    assert (queue.tokens, order(queue)) == (1400, ["h", "l0", "l1"])


def test_an_equal_question_of_a_higher_class_hastens_the_one_that_waits():
    queue = QuestionQueue(LIMITS)
    let_in(queue, waiting("a"), one := waiting("b", QuestionClass.LOW, deadline=1.0))
    queue.hasten(queue.find("b"), QuestionClass.HIGH, 9.0)
    assert (one.deadline, queue.find("b") is one) == (9.0, True)
    assert order(queue) == ["b", "a"]
    assert queue.find("b") is None


def test_a_question_that_is_read_in_part_keeps_its_turn():
    queue = QuestionQueue(QueueLimits(batch_tokens=1, tokens_per_s=SPEED))
    let_in(queue, one := waiting("a"))
    assert order(queue) == ["a"]
    let_in(queue, waiting("b", now=0.5), now=0.5)
    queue.rejoin(one, 600)
    assert [order(queue, 0.5) for _ in range(2)] == [["a"], ["b"]]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(list(QuestionClass)), st.integers(1, 3000), st.floats(0, 5), st.booleans()), max_size=60)
)
def test_every_question_has_one_end_and_the_bound_holds(steps):
    """Whatever comes: who was let in is read or late, each once; the tokens that wait never pass the bounds."""
    queue = QuestionQueue(QueueLimits(waiting_tokens=5000, tokens_per_s=SPEED))
    now, ends, known = 0.0, Counter(), set()
    for key, (priority, tokens, wait, take) in enumerate(steps):
        if queue.offer(waiting(key, priority, now, tokens, 0.5 + wait), now) is None:
            known.add(key)
        assert queue.tokens <= 3 * 5000
        if take:
            now += wait / 10
            batch, late = queue.take(now)
            ends.update(one.key for one in batch + late)
            queue.served(sum(one.tokens for one in batch), 0.01)
    while len(queue):
        batch, late = queue.take(now)
        ends.update(one.key for one in batch + late)
    assert ends == Counter(known)
    assert queue.tokens == 0


def simulate(askers, seconds, think_s, share, limits=LIMITS, speed=SPEED):
    """Askers that ask, wait for the answer or a refusal, think, and ask again; one server that reads batches.

    Returns:
        By class: latencies of answers, number of refusals; and the longest that anyone let in has waited.
    """
    rng = random.Random(4)
    queue = QuestionQueue(limits)
    now, number = 0.0, 0
    ready = sorted((rng.random() * think_s, asker) for asker in range(askers))
    priority_of = [rng.choices(list(QuestionClass), share)[0] for _ in range(askers)]
    latency, refused, longest, most = {p: [] for p in QuestionClass}, Counter(), 0.0, 0
    asked = {}
    while now < seconds:
        while ready and ready[0][0] <= now:
            at, asker = ready.pop(0)
            number += 1
            one = Waiting(number, priority_of[asker], rng.randint(150, 900), at, at + limits.deadline_s[priority_of[asker]])
            if queue.offer(one, now) is None:
                asked[number] = asker
            else:
                refused[one.priority] += 1
                ready.append((now + 1.0 + rng.random() * think_s, asker))
        most = max(most, queue.tokens)
        batch, late = queue.take(now)
        for one in late:
            refused[one.priority] += 1
            ready.append((now + 1.0, asked.pop(one.key)))
        tokens = sum(one.tokens for one in batch)
        now += max(0.001, tokens / speed)
        queue.served(tokens, tokens / speed)
        for one in batch:
            latency[one.priority].append(now - one.arrived)
            longest = max(longest, now - one.arrived)
            ready.append((now + rng.expovariate(1 / think_s), asked.pop(one.key)))
        ready.sort()
    return latency, refused, longest, most


def p99(values):
    return sorted(values)[int(len(values) * 0.99)]


def test_ten_thousand_askers():
    """Ten times what one replica can answer: the high class hardly notices, the others are in order or refused, none starves."""
    latency, refused, longest, most = simulate(10_000, 60.0, think_s=60.0, share=(1, 12, 7))
    assert refused[QuestionClass.NORMAL] > 100
    assert refused[QuestionClass.HIGH] == 0
    assert p99(latency[QuestionClass.HIGH]) < 0.3
    assert all(latency[p] for p in QuestionClass)
    assert longest <= max(LIMITS.deadline_s) + 0.2
    assert most <= 3 * LIMITS.waiting_tokens


def test_a_flood_of_high_ones_does_not_starve_the_low_ones():
    """More questions of the high class than can be answered: low ones that were let in still get their turn."""
    limits = QueueLimits(tokens_per_s=SPEED, deadline_s=(3.0, 30.0, 60.0))
    latency, refused, _, _ = simulate(600, 60.0, think_s=3.0, share=(90, 5, 5), limits=limits)
    assert refused[QuestionClass.HIGH] > 0
    assert len(latency[QuestionClass.LOW]) > 0
    assert len(latency[QuestionClass.NORMAL]) > 0
