"""What the store promises of accounts, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
import unicodedata
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import NOW, Aside, OnPostgres, OnSqlite, a_key, a_session, added, an_account, at_once

from tagwright_server.errors import ArgumentInvalid, NameTaken, NotFound
from tagwright_server.store.accounts import fold
from tagwright_server.store.records import Role
from tagwright_server.store.store import Store

LATER = NOW + timedelta(days=1)
A_MOMENT_S = 0.2  # long enough to overtake, where nothing holds one back


class AccountsContract:
    def test_an_account_comes_back_as_it_was_written(self, store: Store) -> None:
        account = an_account("Ada", role=Role.ADMIN, disabled=True, updated=LATER, last_login=NOW)
        store.accounts.add(account, password_hash="a hash")
        assert store.accounts.find("ada") == store.accounts.get(account.id) == account
        assert store.accounts.password_hash(account.id) == "a hash"

    def test_who_is_not_there_is_not_found(self, store: Store) -> None:
        added(store, "Ada")
        for odd in ("Bob", "", "ada\0", "\udfff", "'; DROP TABLE account --", "%", "A" * 10_000):
            assert store.accounts.find(odd) is None
            assert store.accounts.get(odd) is None
            assert store.accounts.password_hash(odd) is None

    @pytest.mark.parametrize("same", ["ADA", "ａｄａ", "𝒶𝒹𝒶", "aDa"])
    def test_names_that_differ_in_case_or_form_only_are_taken(self, store: Store, same: str) -> None:
        [ada] = added(store, "Ada")
        with pytest.raises(NameTaken):
            store.accounts.add(an_account(same), password_hash="another")
        assert store.accounts.find(same) == ada
        assert store.accounts.password_hash(ada.id) == "Ada's hash"

    def test_names_in_any_script_are_kept_to_the_letter(self, store: Store) -> None:
        names = ["Straße", "ÎÑŢÉRÑÅŢÎÖÑÅĻ", "नमस्ते", "山田太郎", "𐐷", "e\u0301", "שלום", "🦜", "a" * 1000, "%_\\'\""]
        for account in added(store, *names):
            assert store.accounts.find(account.username) == account
        assert store.accounts.find("STRASSE") == store.accounts.find("Straße")

    @pytest.mark.parametrize("odd", ["a\0b", "\0", "half \ud800 pair", "\udc80"])
    def test_a_name_that_cannot_be_stored_is_refused_and_named(self, store: Store, odd: str) -> None:
        with pytest.raises(ArgumentInvalid) as caught:
            store.accounts.add(an_account(odd), password_hash="")
        assert caught.value.field == "username"
        assert not store.accounts.any()

    def test_pages_follow_each_other_by_folded_name_in_the_order_of_code_points(self, store: Store) -> None:
        names = ["bob", "Ada", "Éva", "zoe", "a-b", "a.b", "A_b", "Ωmega", "𐐷", "\uffee", "10", "9"]
        added(store, *names)
        found: list[str] = []
        while page := store.accounts.page(after=found[-1].upper() if found else None, limit=5):
            assert len(page) == min(5, len(names) - len(found))
            found += [account.username for account in page]
        assert found == sorted(names, key=fold)

    def test_a_page_goes_on_after_a_name_that_has_gone(self, store: Store) -> None:
        added(store, "ada", "cy")
        assert [account.username for account in store.accounts.page(after="bob", limit=5)] == ["cy"]
        with pytest.raises(ArgumentInvalid):
            store.accounts.page(after="\0", limit=5)

    def test_an_update_changes_what_is_given_and_nothing_else(self, store: Store) -> None:
        [ada, bob] = added(store, "Ada", "Bob")
        changed = store.accounts.update(ada.id, role=Role.ADMIN, updated=LATER)
        assert changed == store.accounts.get(ada.id) == an_account(id=ada.id, role=Role.ADMIN, updated=LATER)
        assert store.accounts.update(ada.id, disabled=True, updated=LATER).disabled
        assert not store.accounts.update(ada.id, disabled=False, updated=LATER).disabled
        store.accounts.update(ada.id, password_hash="new", updated=LATER)
        assert store.accounts.password_hash(ada.id) == "new"
        assert store.accounts.get(bob.id) == bob
        assert store.accounts.password_hash(bob.id) == "Bob's hash"

    def test_nobody_who_is_not_there_is_changed(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.accounts.update("no such", disabled=True, updated=NOW)
        with pytest.raises(NotFound):
            store.accounts.record_login("no such", at=NOW)
        with pytest.raises(NotFound):
            store.accounts.delete("no such")

    def test_a_better_hash_never_undoes_a_new_password(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        assert store.accounts.replace_hash(ada.id, password_hash="better", was="Ada's hash")
        store.accounts.update(ada.id, password_hash="changed", updated=NOW)
        assert not store.accounts.replace_hash(ada.id, password_hash="stale", was="better")
        assert store.accounts.password_hash(ada.id) == "changed"

    def test_a_login_is_noted(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        store.accounts.record_login(ada.id, at=LATER)
        assert store.accounts.get(ada.id) == an_account(id=ada.id, last_login=LATER)

    def test_an_account_takes_its_sessions_and_keys_with_it(self, store: Store) -> None:
        [ada, bob] = added(store, "Ada", "Bob")
        sessions = [a_session(ada), a_session(bob)]
        keys = [a_key(ada), a_key(bob)]
        for session, key in zip(sessions, keys, strict=True):
            store.sessions.add(session)
            store.api_keys.add(key)
        store.accounts.delete(ada.id)
        assert store.accounts.find("Ada") is None
        assert [store.sessions.find(session.token_hash) for session in sessions] == [None, (sessions[1], bob)]
        assert [store.api_keys.get(key.id) for key in keys] == [None, keys[1]]
        assert [store.sessions.end_all(account.id) for account in (ada, bob)] == [0, 1]
        added(store, "ADA")  # the name is free again

    def test_one_name_is_given_once_however_many_ask_at_once(self, store: Store) -> None:
        callers = [lambda i=i: store.accounts.add(an_account("Ada"), password_hash=str(i)) for i in range(8)]
        outcomes = at_once(*callers)
        assert [type(outcome) for outcome in outcomes].count(NameTaken) == 7
        [winner] = [i for i, outcome in enumerate(outcomes) if outcome is None]
        [ada] = store.accounts.page(after=None, limit=9)
        assert store.accounts.password_hash(ada.id) == str(winner)

    def test_administrators_are_those_that_can_sign_in(self, store: Store) -> None:
        [ada, bob, cy] = added(store, "Ada", "Bob", "Cy", role=Role.ADMIN)
        added(store, "Dan")
        store.accounts.update(bob.id, disabled=True, updated=NOW)
        with store.transaction():
            assert store.accounts.enabled_admins() == {ada.id, cy.id}
        with pytest.raises(RuntimeError):
            store.accounts.enabled_admins()

    def test_two_administrators_cannot_remove_each_other(self, store: Store) -> None:
        admins = added(store, "Ada", "Bob", role=Role.ADMIN)
        looked = threading.Event()

        def remove(other: str) -> bool:
            with store.transaction():
                left = store.accounts.enabled_admins() - {other}
                looked.set()
                if left:
                    store.accounts.update(other, role=Role.USER, updated=NOW)
                return bool(left)

        with store.transaction():
            assert len(store.accounts.enabled_admins()) == 2
            rival = Aside(lambda: remove(admins[0].id))
            assert not looked.wait(A_MOMENT_S), "the rival saw administrators that were about to change"
            store.accounts.update(admins[1].id, role=Role.USER, updated=NOW)
        assert rival.result() is False
        with store.transaction():
            assert store.accounts.enabled_admins() == {admins[0].id}

    def test_the_first_administrator_is_made_once(self, store: Store) -> None:
        def make(name: str) -> bool:
            with store.transaction():
                if store.accounts.enabled_admins():
                    return False
                added(store, name, role=Role.ADMIN)
                return True

        outcomes = at_once(*[lambda name=name: make(name) for name in ("ada", "bob", "cy", "dan")])
        assert sorted(map(str, outcomes)) == ["False", "False", "False", "True"]

    def test_what_was_read_inside_a_transaction_is_still_so_when_it_writes(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        with store.transaction():
            assert store.accounts.password_hash(ada.id) == "Ada's hash"
            rival = Aside(lambda: store.accounts.update(ada.id, disabled=True, updated=NOW))
            store.sessions.add(a_session(ada))
            assert not rival.done()
        assert rival.result().disabled
        assert store.sessions.end_all(ada.id) == 1


class TestAccountsOnSqlite(OnSqlite, AccountsContract):
    pass


class TestAccountsOnPostgres(OnPostgres, AccountsContract):
    pass


@given(st.text())
def test_folding_is_stable(name: str) -> None:
    assert fold(fold(name)) == fold(name)
    assert fold(name.upper()) == fold(fold(name).upper())


@given(st.text())
def test_folding_sees_no_unicode_form(name: str) -> None:
    forms = {unicodedata.normalize(form, name) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    assert len({fold(form) for form in forms}) == 1
