//! What is spent and reserved, for each account, in the same transaction as the event that says so.

use protocol::{Event, EventBody, SessionId, Spending, TurnId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Durability, Failure, Journal, JournalError, Result};
use crate::projection::KeptView;

/// What stands on one account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    pub spent: Spending,
    pub reserved: Spending,
}

impl Balance {
    /// Returns what nobody else can have.
    pub fn taken(&self) -> Spending {
        self.spent.plus(&self.reserved)
    }
}

/// A model call that something is reserved for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub turn: TurnId,
    pub number: u32,
    pub spending: Spending,
}

/// A whole day in milliseconds; days are counted from the Unix epoch.
const DAY_MS: u64 = 86_400_000;

/// Returns the accounts that what happens in `turn` on `day` counts for: the turn's, the session's and the day's.
pub(super) fn accounts(session: &str, turn: &str, day: u64) -> [String; 3] {
    [format!("turn {turn}"), format!("session {session}"), format!("day {day}")]
}

/// Returns the number of the day of a moment, by UTC.
pub(super) fn day(at_ms: u64) -> u64 {
    at_ms / DAY_MS
}

impl Journal {
    /// Returns what stands today on the accounts of `turn`, of `session` and of the day; nothing on one that was never used.
    pub fn balances(&self, session: &SessionId, turn: &TurnId) -> Result<[Balance; 3]> {
        let accounts = accounts(session.as_str(), turn.as_str(), day(self.now_ms()));
        let writer = self.writer();
        let balances = balances(&writer.connection, &accounts);
        balances.map_err(|failure| failure.at(&self.path))
    }

    /// Reserves on every account of `turn` at once what `decide` says, given what stands on them, and appends its event, which
    /// names call `number` of it. What it refuses changes nothing. Nobody else reserves in between.
    pub fn reserve<R>(
        &self,
        session: &SessionId,
        (turn, number): (&TurnId, u32),
        decide: impl FnOnce(&[Balance; 3]) -> std::result::Result<(Spending, EventBody), R>,
    ) -> Result<std::result::Result<Vec<Event>, R>> {
        let mut refused = None;
        let events = self.write(Durability::Process, |pen| {
            let accounts = accounts(session.as_str(), turn.as_str(), day(pen.now_ms()));
            let balances = balances(pen.transaction(), &accounts)?;
            let (spending, event) = match decide(&balances) {
                Ok(decided) => decided,
                Err(refusal) => {
                    refused = Some(refusal);
                    return Ok(Vec::new());
                }
            };
            for (account, balance) in accounts.iter().zip(balances) {
                set(pen.transaction(), account, &Balance { reserved: balance.reserved.plus(&spending), ..balance })?;
            }
            hold(pen.transaction(), session, &accounts, (turn, number), &spending)?;
            Ok(vec![pen.append(session, &event, None)?])
        })?;
        Ok(refused.map_or(Ok(events), Err))
    }

    /// Puts `spent` in the place of what call `number` of `turn` had reserved, and appends `bodies`. A call that nothing is
    /// reserved for, because it was settled, is not settled again.
    pub fn settle(
        &self,
        session: &SessionId,
        (turn, number): (&TurnId, u32),
        spent: &Spending,
        bodies: &[EventBody],
    ) -> Result<Vec<Event>> {
        self.write(Durability::Process, |pen| {
            if let Some((accounts, reserved)) = release(pen.transaction(), turn, number)? {
                for account in accounts {
                    let Balance { spent: before, reserved: held } = balance(pen.transaction(), &account)?;
                    let after = Balance { spent: before.plus(spent), reserved: held.less(&reserved) };
                    set(pen.transaction(), &account, &after)?;
                }
            }
            bodies.iter().map(|body| pen.append(session, body, None)).collect()
        })
    }

    /// Appends the end of `turn`, flushed, takes `spent`, which was never reserved, from every account of it, and keeps the
    /// session's view.
    pub fn close(
        &self,
        session: &SessionId,
        turn: &TurnId,
        spent: &Spending,
        closed: &EventBody,
        kept: Option<&KeptView>,
    ) -> Result<Vec<Event>> {
        self.write(Durability::Power, |pen| {
            for account in accounts(session.as_str(), turn.as_str(), day(pen.now_ms())) {
                let balance = balance(pen.transaction(), &account)?;
                set(pen.transaction(), &account, &Balance { spent: balance.spent.plus(spent), ..balance })?;
            }
            let mut events = vec![pen.append(session, closed, None)?];
            if let Some(kept) = kept {
                events.push(pen.keep_view(session, kept)?);
            }
            Ok(events)
        })
    }

    /// Returns the calls of `session` that something is reserved for; whoever holds its lease knows that nobody makes them.
    pub fn held(&self, session: &SessionId) -> Result<Vec<Held>> {
        const HELD: &str = "SELECT turn, number, spending FROM reservations WHERE session = ?1 ORDER BY turn, number";
        let rows = self.rows(HELD, [session.as_str()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?, row.get::<_, String>(2)?))
        })?;
        let held = rows.into_iter().map(|(turn, number, spending)| {
            let turn = turn.parse().map_err(|error: protocol::InvalidId| JournalError::Damaged {
                path: self.path.clone(),
                reason: error.to_string(),
            })?;
            Ok(Held { turn, number, spending: read(&spending).map_err(|failure| failure.at(&self.path))? })
        });
        held.collect()
    }
}

fn balances(connection: &Connection, accounts: &[String; 3]) -> std::result::Result<[Balance; 3], Failure> {
    let [turn, session, day] = accounts;
    Ok([balance(connection, turn)?, balance(connection, session)?, balance(connection, day)?])
}

fn balance(connection: &Connection, account: &str) -> std::result::Result<Balance, Failure> {
    let mut statement = connection.prepare_cached("SELECT spent, reserved FROM accounts WHERE name = ?1")?;
    let texts = statement.query_row([account], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)));
    match texts.optional()? {
        Some((spent, reserved)) => Ok(Balance { spent: read(&spent)?, reserved: read(&reserved)? }),
        None => Ok(Balance::default()),
    }
}

fn set(connection: &Connection, account: &str, balance: &Balance) -> std::result::Result<(), Failure> {
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO accounts VALUES (?1, ?2, ?3)")?;
    statement.execute(params![account, write(&balance.spent)?, write(&balance.reserved)?])?;
    Ok(())
}

fn hold(
    connection: &Connection,
    session: &SessionId,
    accounts: &[String],
    (turn, number): (&TurnId, u32),
    spending: &Spending,
) -> std::result::Result<(), Failure> {
    let accounts = serde_json::to_string(accounts).map_err(Failure::Json)?;
    let mut statement = connection.prepare_cached("INSERT INTO reservations VALUES (?1, ?2, ?3, ?4, ?5)")?;
    statement.execute(params![turn.as_str(), number, session.as_str(), accounts, write(spending)?])?;
    Ok(())
}

/// Takes a reservation away and returns the accounts it was on.
fn release(
    connection: &Connection,
    turn: &TurnId,
    number: u32,
) -> std::result::Result<Option<(Vec<String>, Spending)>, Failure> {
    const RELEASE: &str = "DELETE FROM reservations WHERE turn = ?1 AND number = ?2 RETURNING accounts, spending";
    let mut statement = connection.prepare_cached(RELEASE)?;
    let texts = statement
        .query_row(params![turn.as_str(), number], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)));
    match texts.optional()? {
        Some((accounts, spending)) => {
            Ok(Some((serde_json::from_str(&accounts).map_err(Failure::Json)?, read(&spending)?)))
        }
        None => Ok(None),
    }
}

fn read(text: &str) -> std::result::Result<Spending, Failure> {
    serde_json::from_str(text).map_err(Failure::Json)
}

fn write(spending: &Spending) -> std::result::Result<String, Failure> {
    serde_json::to_string(spending).map_err(Failure::Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn tokens(tokens: u64) -> Spending {
        Spending { tokens, ..Spending::default() }
    }

    fn journal(folder: &std::path::Path) -> Journal {
        Journal::open(&folder.join("journal.db"), std::time::SystemTime::now, None).unwrap()
    }

    fn session(number: u64) -> SessionId {
        SessionId::from_random(number)
    }

    fn turn(number: u64) -> TurnId {
        TurnId::from_random(number)
    }

    fn called(turn: &TurnId, number: u32, reserved: Spending) -> EventBody {
        let (turn, model) = (turn.clone(), String::new());
        EventBody::ModelCalled { turn, number, model, purpose: protocol::Purpose::Reply, reserved }
    }

    /// Reserves `amount` tokens for a call of session and turn `key.0` where no account comes above `limit` by it.
    fn try_reserve(journal: &Journal, key: (u64, u32), amount: u64, limit: u64) -> bool {
        let (turn, number) = (turn(key.0), key.1);
        let decide = |balances: &[Balance; 3]| {
            let fits = balances.iter().all(|balance| balance.taken().tokens + amount <= limit);
            fits.then(|| (tokens(amount), called(&turn, number, tokens(amount)))).ok_or(())
        };
        journal.reserve(&session(key.0), (&turn, number), decide).unwrap().is_ok()
    }

    fn balances(journal: &Journal, of: u64) -> [Balance; 3] {
        journal.balances(&session(of), &turn(of)).unwrap()
    }

    #[test]
    fn a_reservation_is_on_every_account_until_it_is_settled() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path());
        assert!(try_reserve(&journal, (1, 1), 60, 100));
        assert!(!try_reserve(&journal, (2, 1), 60, 100), "the day is theirs together");
        let held = Held { turn: turn(1), number: 1, spending: tokens(60) };
        assert_eq!(journal.held(&session(1)).unwrap(), [held]);
        for _ in 0..2 {
            journal.settle(&session(1), (&turn(1), 1), &tokens(25), &[]).unwrap();
            let settled = Balance { spent: tokens(25), reserved: Spending::default() };
            assert_eq!(balances(&journal, 1), [settled; 3]);
        }
        assert_eq!(journal.held(&session(1)).unwrap(), []);
        assert!(try_reserve(&journal, (2, 1), 60, 100));
    }

    #[test]
    fn what_is_refused_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path());
        assert!(!try_reserve(&journal, (1, 1), 101, 100));
        assert_eq!(journal.events(&session(1)).unwrap(), []);
        assert_eq!(balances(&journal, 1), [Balance::default(); 3]);
    }

    #[test]
    fn an_account_outlives_its_process() {
        let folder = tempfile::tempdir().unwrap();
        assert!(try_reserve(&journal(folder.path()), (1, 1), 60, 100));
        let again = journal(folder.path());
        assert!(!try_reserve(&again, (2, 1), 60, 100));
        assert_eq!(again.held(&session(1)).unwrap().len(), 1);
    }

    /// Many sessions in many processes race for one account: whatever the order, it is never overspent, and every token of
    /// it can be had.
    #[test]
    fn racing_sessions_share_an_account_and_never_overspend_it() {
        const LIMIT: u64 = 500;
        let folder = Arc::new(tempfile::tempdir().unwrap());
        journal(folder.path());
        let racers: Vec<_> = (0..8_u64)
            .map(|racer| {
                let folder = folder.clone();
                std::thread::spawn(move || {
                    let journal = journal(folder.path());
                    let mut won = 0;
                    for number in 0..40 {
                        if try_reserve(&journal, (racer, number), 10, LIMIT) {
                            let [.., day] = balances(&journal, racer);
                            assert!(day.taken().tokens <= LIMIT, "{day:?}");
                            // Every second call costs half of what was reserved.
                            let spent = if number % 2 == 0 { 10 } else { 5 };
                            journal.settle(&session(racer), (&turn(racer), number), &tokens(spent), &[]).unwrap();
                            won += spent;
                        }
                    }
                    won
                })
            })
            .collect();
        let won: u64 = racers.into_iter().map(|racer| racer.join().unwrap()).sum();
        let [.., day] = balances(&journal(folder.path()), 0);
        assert_eq!(day, Balance { spent: tokens(won), reserved: Spending::default() });
        assert!(won <= LIMIT && won > LIMIT - 10, "{won}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is reserved, settled and lost in whatever order, no account comes above its limit, and what stands on it
        /// is the sum of what was said.
        #[test]
        fn spent_and_reserved_stay_within_the_limit(
            steps in prop::collection::vec((0_u64..3, 0_u64..60, prop::option::of(0_u64..100)), 1..40),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let journal = journal(folder.path());
            let (mut spent, mut reserved) = (0, 0);
            for (number, (owner, amount, settle_percent)) in (0..).zip(steps) {
                if !try_reserve(&journal, (owner, number), amount, 100) {
                    prop_assert!(spent + reserved + amount > 100);
                    continue;
                }
                reserved += amount;
                if let Some(percent) = settle_percent {
                    let cost = amount * percent / 100;
                    journal.settle(&session(owner), (&turn(owner), number), &tokens(cost), &[]).unwrap();
                    (spent, reserved) = (spent + cost, reserved - amount);
                }
                let [.., day] = balances(&journal, 0);
                prop_assert_eq!((day.spent.tokens, day.reserved.tokens), (spent, reserved));
                prop_assert!(spent + reserved <= 100);
            }
        }
    }
}
