"""What the store promises of audit events, first answers, failed logins and facts, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta

import pytest
from stores import HOUR, NOW, Aside, OnPostgres, OnSqlite, an_event, at_once

from tagwright_server.store.records import AuditEvent, Failures, Reply
from tagwright_server.store.store import Store

A_MOMENT_S = 0.2  # long enough to overtake, where nothing holds one back
MICROSECOND = timedelta(microseconds=1)


class AuditContract:
    def test_an_event_comes_back_as_it_was_written_with_an_id(self, store: Store) -> None:
        details = {"role": "ROLE_ADMIN", "": "", "ключ": "значение 🦜", "nul": "\0", "half": "\ud800", "quote": "\"'\\"}
        event = store.audit.add(an_event(actor="Ada", target="päron", details=details))
        assert event.id > 0
        assert store.audit.page(before=None, limit=9) == [event]
        assert event.details == details

    def test_an_event_about_odd_text_is_kept_nevertheless(self, store: Store) -> None:
        odd = "a\0b\ud800c"
        event = store.audit.add(an_event(odd, actor=odd, credential=odd, peer=odd, target=odd))
        assert {event.actor, event.credential, event.peer, event.action, event.target} == {"a\ufffdb\ufffdc"}
        assert store.audit.page(before=None, limit=9) == [event]

    def test_pages_go_from_the_latest_to_the_first(self, store: Store) -> None:
        events = [store.audit.add(an_event(time=NOW - i * HOUR)) for i in range(5)]
        found: list[AuditEvent] = []
        while page := store.audit.page(before=found[-1].id if found else None, limit=2):
            assert len(page) <= 2
            found += page
        assert found == events[::-1]
        assert store.audit.page(before=1 << 80, limit=9) == events[::-1]
        assert store.audit.page(before=-(1 << 80), limit=9) == []

    def test_events_are_found_by_who_did_what_and_when(self, store: Store) -> None:
        told = [
            ("Ada", "user.create"),
            ("ada", "user.update"),
            ("Bob", "user"),
            ("", "login.failed"),
            ("ＡＤＡ", "users."),
        ]
        events = [
            store.audit.add(an_event(action, actor=actor, time=NOW + i * HOUR))
            for i, (actor, action) in enumerate(told)
        ]

        def found(**which: object) -> list[int]:
            page = store.audit.page(before=None, limit=9, **which)  # type: ignore[arg-type]
            return sorted(events.index(event) for event in page)

        assert found(actor="aDA") == [0, 1, 4]
        assert found(actor="nobody") == found(actor="\0") == found(action="\ud800.") == []
        assert found(action="user.") == [0, 1]
        assert found(action="user") == [2]
        assert found(action="user.create") == [0]
        assert found(action="user.%") == found(action="%.") == []
        assert found(start=events[1].time) == [1, 2, 3, 4]
        assert found(end=events[1].time) == [0]
        assert found(start=events[1].time, end=events[3].time + MICROSECOND) == [1, 2, 3]
        assert found(actor="ada", action="user.", start=events[1].time, end=events[4].time) == [1]

    def test_pruned_events_are_gone_and_their_ids_never_come_back(self, store: Store) -> None:
        events = [store.audit.add(an_event(time=NOW + i * MICROSECOND)) for i in range(3)]
        assert store.audit.prune(before=NOW + MICROSECOND) == 1
        assert store.audit.page(before=None, limit=9) == events[:0:-1]
        assert store.audit.prune(before=NOW + HOUR) == 2
        assert store.audit.add(an_event()).id > events[-1].id


class RepliesContract:
    def test_an_answer_comes_back_as_it_was_written(self, store: Store) -> None:
        reply = Reply(bytes(range(256)), b"", b"\0sealed\xff", NOW)
        store.replies.add(reply)
        assert store.replies.find(reply.id) == reply
        assert store.replies.find(b"other") is None

    def test_a_second_answer_is_a_mistake_and_the_first_stays(self, store: Store) -> None:
        first = Reply(b"id", b"first", b"first", NOW)
        store.replies.add(first)
        with pytest.raises(Exception, match=r"(?i)unique"):
            store.replies.add(Reply(b"id", b"second", b"second", NOW))
        assert store.replies.find(b"id") == first

    def test_one_request_is_done_once_however_often_it_comes_at_once(self, store: Store) -> None:
        done: list[int] = []

        def ask(caller: int) -> bytes:
            with store.transaction():
                store.replies.claim(b"id")
                if (reply := store.replies.find(b"id")) is None:
                    done.append(caller)
                    reply = Reply(b"id", b"content", str(caller).encode(), NOW)
                    store.replies.add(reply)
                return reply.sealed

        answers = at_once(*[lambda caller=caller: ask(caller) for caller in range(8)])
        assert len(done) == 1
        assert set(answers) == {str(done[0]).encode()}

    def test_a_claim_holds_until_the_transaction_ends_and_only_for_its_id(self, store: Store) -> None:
        claimed = threading.Event()

        def rival() -> Reply | None:
            with store.transaction():
                store.replies.claim(b"id")
                claimed.set()
                return store.replies.find(b"id")

        reply = Reply(b"id", b"", b"", NOW)
        with store.transaction():
            store.replies.claim(b"id")
            waiting = Aside(rival)
            assert not claimed.wait(A_MOMENT_S), "it was claimed twice"
            store.replies.add(reply)
        assert waiting.result() == reply
        with pytest.raises(RuntimeError):
            store.replies.claim(b"id")

    def test_a_claim_that_failed_is_free_again(self, store: Store) -> None:
        with suppress(KeyError), store.transaction():
            store.replies.claim(b"id")
            store.replies.add(Reply(b"id", b"", b"", NOW))
            raise KeyError
        with store.transaction():
            store.replies.claim(b"id")
            assert store.replies.find(b"id") is None

    def test_old_answers_are_pruned(self, store: Store) -> None:
        replies = [Reply(bytes([i]), b"", b"", NOW + i * MICROSECOND) for i in range(3)]
        for reply in replies:
            store.replies.add(reply)
        assert store.replies.prune(before=NOW + MICROSECOND) == 1
        assert [store.replies.find(reply.id) for reply in replies] == [None, *replies[1:]]


class FailedLoginsContract:
    def test_buckets_are_kept_changed_and_emptied(self, store: Store) -> None:
        store.failures.put("account ada", Failures(1.0, NOW))
        store.failures.put("peer 192.0.2.7", Failures(0.1 + 0.2, NOW))
        store.failures.put("account ada", Failures(2.5, NOW + MICROSECOND))
        assert store.failures.get(["account ada", "peer 192.0.2.7", "other"]) == {
            "account ada": Failures(2.5, NOW + MICROSECOND),
            "peer 192.0.2.7": Failures(0.1 + 0.2, NOW),
        }
        store.failures.forget("account ada")
        store.failures.forget("other")
        assert store.failures.get(["account ada"]) == store.failures.get([]) == {}

    def test_a_bucket_of_any_name_will_do(self, store: Store) -> None:
        for odd in ("a\0b", "\ud800", "", "🦜" * 1000, "'; --"):
            store.failures.put(odd, Failures(1.0, NOW))
            assert store.failures.get([odd]) == {odd: Failures(1.0, NOW)}
            store.failures.forget(odd)
            assert store.failures.get([odd]) == {}

    def test_old_buckets_are_pruned(self, store: Store) -> None:
        for i in range(3):
            store.failures.put(str(i), Failures(1.0, NOW + i * MICROSECOND))
        assert store.failures.prune(before=NOW + MICROSECOND) == 1
        assert set(store.failures.get(["0", "1", "2"])) == {"1", "2"}

    def test_a_bucket_filled_at_once_is_there_once(self, store: Store) -> None:
        fills = [lambda i=i: store.failures.put("b", Failures(float(i), NOW)) for i in range(8)]
        assert at_once(*fills) == [None] * 8
        assert store.failures.get(["b"])["b"].level in range(8)


class FactsContract:
    def test_a_fact_is_settled_once(self, store: Store) -> None:
        assert store.facts.get("pepper check") is None
        assert store.facts.set_once("pepper check", "first") == "first"
        assert store.facts.set_once("pepper check", "second") == "first"
        assert store.facts.set_once("other", "") == ""
        assert store.facts.get("pepper check") == "first"

    def test_the_first_one_wins_a_race_and_everybody_hears_it(self, store: Store) -> None:
        tellers = [lambda i=i: store.facts.set_once("who", str(i)) for i in range(8)]
        assert set(at_once(*tellers)) == {store.facts.get("who")}


class TestAuditOnSqlite(OnSqlite, AuditContract):
    pass


class TestAuditOnPostgres(OnPostgres, AuditContract):
    pass


class TestRepliesOnSqlite(OnSqlite, RepliesContract):
    pass


class TestRepliesOnPostgres(OnPostgres, RepliesContract):
    pass


class TestFailedLoginsOnSqlite(OnSqlite, FailedLoginsContract):
    pass


class TestFailedLoginsOnPostgres(OnPostgres, FailedLoginsContract):
    pass


class TestFactsOnSqlite(OnSqlite, FactsContract):
    pass


class TestFactsOnPostgres(OnPostgres, FactsContract):
    pass
