"""In-memory stand-ins for the stores. tests/contracts holds them to what the real servers do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gatekeeper.errors import Conflict, StoreUnavailable
from gatekeeper.identity.accounts import Account
from gatekeeper.tokens.api_keys import KeyFacts, KeyRecord
from gatekeeper.tokens.durable import SessionOrigin, SessionRecord
from gatekeeper.tokens.refresh import RefreshClaim
from gatekeeper.tokens.sessions import Facts, LiveRecord, Presented, Question, Session, UserState
from policies.rates import LocalWindows


class MemorySessions:
    """``tokens.sessions.SessionStore`` in a dict; ``down`` makes every call fail."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.users: dict[str, UserState] = {}
        self.keys: dict[str, KeyRecord] = {}
        self.listed: set[tuple[str, str]] = set()
        self.windows = LocalWindows()
        self.down = False

    def _up(self) -> None:
        if self.down:
            raise StoreUnavailable("redis", "is down for a test")

    async def ask(self, question: Question) -> Facts:
        self._up()
        live = await self.read(question.session, question.jti, question.user) if question.session else None
        key = KeyFacts(self.keys.get(question.key), self.users.get(question.user)) if question.key else None
        address = self.windows.take(question.address_limit, question.now) if question.address_limit else None
        rule = None
        if question.rule_limit:
            may = (address is None or address.allowed) and (live is None or live.session is not None)
            may = may and (key is None or key.whole)
            rule = self.windows.take(question.rule_limit, question.now, may=may)
        return Facts(live, address, rule, key)

    async def read(self, session: str, jti: str, user: str) -> LiveRecord:
        self._up()
        return LiveRecord(self.sessions.get(session), (session, jti) in self.listed, self.users.get(user))

    async def find(self, session: str) -> Session | None:
        self._up()
        return self.sessions.get(session)

    async def find_user(self, user: str) -> UserState | None:
        self._up()
        return self.users.get(user)

    async def open(self, session: Session, user: UserState, *, idle: float) -> None:
        self._up()
        await self.put_user(user)
        self.sessions[session.id] = session

    async def rotate(self, claim: RefreshClaim, *, now: float, window: float, idle: float) -> Presented:
        return self._present(claim, now, window, rotate=True)

    async def renew(self, claim: RefreshClaim, *, now: float, window: float, idle: float) -> Presented:
        return self._present(claim, now, window, rotate=False)

    def _present(self, claim: RefreshClaim, now: float, window: float, *, rotate: bool) -> Presented:
        self._up()
        session = self.sessions.get(claim.session)
        if session is None or claim.generation > session.generation:
            return Presented.ENDED
        if claim.generation == session.generation:
            moved = replace(session, seen_at=now)
            if rotate:
                moved = replace(moved, generation=session.generation + 1, rotated_at=now)
            self.sessions[session.id] = moved
            return Presented.ROTATED if rotate else Presented.CURRENT
        if claim.generation == session.generation - 1 and now - session.rotated_at <= window:
            return Presented.REPEATED
        del self.sessions[session.id]
        return Presented.REUSED

    async def end(self, sessions: Sequence[str]) -> None:
        self._up()
        for session in sessions:
            self.sessions.pop(session, None)

    async def blacklist(self, session: str, jti: str, *, until: float, now: float) -> None:
        self._up()
        self.listed.add((session, jti))

    async def adopt_epoch(self, session: str, epoch: int) -> None:
        self._up()
        if session in self.sessions:
            self.sessions[session] = replace(self.sessions[session], epoch=epoch)

    async def step_up(
        self, session: Session, *, amr: Sequence[str], two_factors: bool, now: float, bound: str = ""
    ) -> Session | None:
        self._up()
        known = self.sessions.get(session.id)
        if known is None:
            return None
        moved = replace(
            known,
            auth_time=max(known.auth_time, now),
            acr="2fa" if two_factors else known.acr,
            amr=(*known.amr, *(one for one in amr if one not in known.amr)),
            mfa_time=max(known.mfa_time, now) if two_factors else known.mfa_time,
            must_enrol=known.must_enrol and not two_factors,
            bound=bound or known.bound,
        )
        self.sessions[session.id] = moved
        return moved

    async def put_user(self, user: UserState) -> None:
        self._up()
        known = self.users.get(user.id)
        if known is None or known.version <= user.version:
            epoch = max(user.epoch, known.epoch if known else 0)
            self.users[user.id] = replace(user, epoch=epoch)

    async def read_key(self, digest: str) -> KeyRecord | None:
        self._up()
        return self.keys.get(digest)

    async def put_key(self, record: KeyRecord) -> None:
        self._up()
        known = self.keys.get(record.digest)
        if known is None or known.version < record.version:
            self.keys[record.digest] = record


class MemoryKeys:
    """``tokens.api_keys.KeyRecords`` in a dict; ``loads`` counts how often it was asked."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[KeyRecord, UserState]] = {}
        self.loads = 0
        self.down = False

    async def load(self, digest: str) -> tuple[KeyRecord, UserState] | None:
        self.loads += 1
        if self.down:
            raise StoreUnavailable("postgres", "is down for a test")
        return self.kept.get(digest)


class MemoryRecords:
    """``tokens.sessions.SessionRecords`` in a dict."""

    def __init__(self) -> None:
        self.records: dict[str, SessionRecord] = {}

    async def started(self, session: Session, origin: SessionOrigin, now: float) -> None:
        self.records[session.id] = SessionRecord(
            session.id, session.user_id, now, session.expires_at, None, None, origin, session.amr
        )

    async def ended(self, sessions: Sequence[str], reason: str, now: float) -> None:
        for session in sessions:
            record = self.records.get(session)
            if record is not None and record.ended_at is None:
                self.records[session] = replace(record, ended_at=now, end_reason=reason)

    async def find(self, session: str) -> SessionRecord | None:
        return self.records.get(session)

    async def open_of(self, user: str, now: float) -> list[SessionRecord]:
        mine = [
            record
            for record in self.records.values()
            if record.user_id == user and record.ended_at is None and record.expires_at > now
        ]
        return sorted(mine, key=lambda record: -record.started_at)


class MemoryAccounts:
    """``identity.accounts.AccountStore`` in a dict."""

    def __init__(self, records: MemoryRecords) -> None:
        self.accounts: dict[str, Account] = {}
        self._records = records

    async def create(
        self,
        state: UserState,
        password_hash: str | None,
        now: float,
        *,
        must_verify: bool = False,
        must_change: bool = False,
    ) -> None:
        if any(account.state.email == state.email for account in self.accounts.values()):
            raise Conflict("users_email_key")
        self.accounts[state.id] = Account(state, now, password_hash, must_verify, must_change)

    async def find(self, user: str) -> Account | None:
        return self.accounts.get(user)

    async def find_by_email(self, email: str) -> Account | None:
        return next((account for account in self.accounts.values() if account.state.email == email), None)

    async def all(self) -> list[Account]:
        return sorted(self.accounts.values(), key=lambda account: account.created_at)

    async def set_roles(self, user: str, roles: Sequence[str], now: float) -> UserState | None:
        return self._change(user, roles=tuple(roles))

    async def set_locked(self, user: str, *, locked: bool, now: float) -> UserState | None:
        return await self._end(
            user, self._change(user, raise_epoch=locked, locked=locked), "locked" if locked else "", now
        )

    async def raise_epoch(self, user: str, now: float, *, keep: str | None = None) -> UserState | None:
        return await self._end(user, self._change(user, raise_epoch=True), "logout", now, keep)

    async def set_password(
        self, user: str, password_hash: str, now: float, *, keep: str | None, must_change: bool = False
    ) -> UserState | None:
        state = self._change(user, raise_epoch=True)
        if state is not None:
            changed = replace(self.accounts[user], password_hash=password_hash, must_change=must_change)
            self.accounts[user] = changed
        return await self._end(user, state, "password-changed", now, keep)

    async def expire_password(self, user: str, now: float) -> UserState | None:
        if user not in self.accounts or self.accounts[user].password_hash is None:
            return None
        self.accounts[user] = replace(self.accounts[user], must_change=True)
        return await self._end(user, self._change(user, raise_epoch=True), "password-expired", now)

    async def rehash(self, user: str, old: str, new: str) -> None:
        account = self.accounts.get(user)
        if account is not None and account.password_hash == old:
            self.accounts[user] = replace(account, password_hash=new)

    async def drop_password(self, user: str) -> None:
        self.accounts[user] = replace(self.accounts[user], password_hash=None)

    async def has_admin(self) -> bool:
        return any("admin" in account.state.roles and not account.state.locked for account in self.accounts.values())

    def _change(self, user: str, *, raise_epoch: bool = False, **changes: object) -> UserState | None:
        account = self.accounts.get(user)
        if account is None:
            return None
        state = account.state
        state = replace(state, version=state.version + 1, epoch=state.epoch + int(raise_epoch), **changes)
        self.accounts[user] = replace(account, state=state)
        return state

    async def _end(
        self, user: str, state: UserState | None, reason: str, now: float, keep: str | None = None
    ) -> UserState | None:
        if reason:
            mine = [record.id for record in self._records.records.values() if record.user_id == user]
            await self._records.ended([session for session in mine if session != keep], reason, now)
        return state
