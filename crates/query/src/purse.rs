//! The accounts of one turn: what a model call reserves before it is made and settles after.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use policy::{Budget, Exceeded, Need, Reservation, Room, reserve};
use protocol::{BudgetScope, Event, EventBody, Measure, SessionId, Spending, TurnId, TurnOutcome};
use workspace::{Balance, Journal, JournalError, KeptView};

/// The accounts that one turn of one session counts for.
pub(crate) struct Purse<'a> {
    pub(crate) journal: &'a Journal,
    pub(crate) session: &'a SessionId,
    pub(crate) turn: TurnId,
    pub(crate) budget: Budget,
    pub(crate) watch: Stopwatch,
}

/// The scopes that have an account; one call has none, because nothing stands on it before.
const SCOPES: [BudgetScope; 3] = [BudgetScope::Turn, BudgetScope::Session, BudgetScope::Day];

impl Purse<'_> {
    /// Reserves what `need` can cost at most, in the transaction that appends `called`, given the reservation.
    pub(crate) fn reserve(
        &self,
        number: u32,
        need: &Need,
        cost: impl Fn(u64, u64) -> u64,
        called: impl FnOnce(Spending) -> EventBody,
    ) -> Result<Result<(Reservation, Vec<Event>), Exceeded>, JournalError> {
        let mut made = None;
        let decide = |balances: &[Balance; 3]| {
            let reservation = reserve(need, &self.rooms(balances), cost)?;
            made = Some(reservation);
            Ok((reservation.spending, called(reservation.spending)))
        };
        let events = self.journal.reserve(self.session, (&self.turn, number), decide)?;
        Ok(events.map(|events| (made.expect("a reservation that was decided"), events)))
    }

    /// Settles a call at `spent`, its time included as it was measured.
    pub(crate) fn settle(
        &self,
        number: u32,
        spent: Spending,
        bodies: impl FnOnce(Spending) -> Vec<EventBody>,
    ) -> Result<Vec<Event>, JournalError> {
        let spent = Spending { time_ms: self.watch.lap_ms(), ..spent };
        self.journal.settle(self.session, (&self.turn, number), &spent, &bodies(spent))
    }

    /// Takes what calls cost that nobody heard of again: all that was reserved for them, except for time, which is nobody's
    /// to charge.
    pub(crate) fn settle_orphans(&self) -> Result<(), JournalError> {
        for held in self.journal.held(self.session)? {
            let spent = Spending { time_ms: 0, ..held.spending };
            let (turn, number) = (held.turn.clone(), held.number);
            let abandoned = EventBody::ModelAbandoned { turn, number, spent };
            self.journal.settle(self.session, (&held.turn, held.number), &spent, &[abandoned])?;
        }
        Ok(())
    }

    /// Records the end of the turn, and the time since its last call; `kept` is kept with it.
    pub(crate) fn close(&self, outcome: TurnOutcome, kept: Option<&KeptView>) -> Result<Vec<Event>, JournalError> {
        let spent = Spending { time_ms: self.watch.lap_ms(), ..Spending::default() };
        let closed = EventBody::TurnClosed { turn: self.turn.clone(), outcome, spent };
        self.journal.close(self.session, &self.turn, &spent, &closed, kept)
    }

    /// Returns when the time is over that the accounts have left, and which of them ends it.
    pub(crate) fn deadline(&self) -> Result<(Instant, Exceeded), JournalError> {
        let balances = self.journal.balances(self.session, &self.turn)?;
        let rooms = self.rooms(&balances);
        let tightest =
            rooms.iter().filter(|room| room.scope != BudgetScope::Call).min_by_key(|room| room.left().time_ms);
        let room = tightest.expect("a turn has accounts");
        let (limit, left) = (room.limit.time_ms, room.left().time_ms.saturating_sub(self.watch.unlapped_ms()));
        let exceeded = Exceeded { scope: room.scope, measure: Measure::TimeMs, limit, left: 0, needed: 1 };
        Ok((Instant::now() + Duration::from_millis(left), exceeded))
    }

    fn rooms(&self, balances: &[Balance; 3]) -> Vec<Room> {
        let room = |(scope, balance): (BudgetScope, &Balance)| Room {
            scope,
            limit: *self.budget.of(scope),
            taken: balance.taken(),
        };
        let call = Room { scope: BudgetScope::Call, limit: self.budget.call, taken: Spending::default() };
        std::iter::once(call).chain(SCOPES.into_iter().zip(balances).map(room)).collect()
    }
}

/// Returns how a turn ends that a budget stops.
pub(crate) fn stopped(exceeded: Exceeded) -> TurnOutcome {
    let Exceeded { scope, measure, limit, left, needed } = exceeded;
    TurnOutcome::BudgetExceeded { scope, measure, limit, left, needed }
}

/// Measures work by a clock that never jumps, and each millisecond once.
pub(crate) struct Stopwatch {
    started: Instant,
    lapped_ms: AtomicU64,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), lapped_ms: AtomicU64::new(0) }
    }

    /// Returns the milliseconds since the last lap, and begins a new one.
    fn lap_ms(&self) -> u64 {
        let lap_ms = self.unlapped_ms();
        self.lapped_ms.fetch_add(lap_ms, Ordering::Relaxed);
        lap_ms
    }

    fn unlapped_ms(&self) -> u64 {
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        elapsed_ms.saturating_sub(self.lapped_ms.load(Ordering::Relaxed))
    }
}
