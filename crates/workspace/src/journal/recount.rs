//! The accounts, added up again from the records: what stands on them must follow from these.

use std::collections::{BTreeMap, BTreeSet};

use protocol::Spending;
use rusqlite::Connection;
use serde::Deserialize;

use super::ledger::{Balance, accounts, day};
use super::walk::Entry;

/// What records say of money and time. Memory grows by some hundred bytes for each turn.
#[derive(Debug, Default)]
pub(super) struct Recount {
    balances: BTreeMap<String, Balance>,
    /// What is reserved, for each call of a turn: its session, its accounts, and how much.
    held: BTreeMap<(String, u32), (String, [String; 3], Spending)>,
}

/// What of an event counts; the rest is not read.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Counted {
    ModelCalled {
        turn: String,
        number: u32,
        #[serde(default)]
        reserved: Spending,
    },
    #[serde(alias = "model_failed", alias = "model_abandoned")]
    ModelReplied {
        turn: String,
        number: u32,
        #[serde(default)]
        spent: Spending,
    },
    TurnClosed {
        turn: String,
        #[serde(default)]
        spent: Spending,
    },
}

/// How the records begin that count.
const BEGINNINGS: [&[u8]; 2] = [br#"{"type":"model_"#, br#"{"type":"turn_closed""#];

impl Recount {
    pub(super) fn take(&mut self, entry: &Entry<'_>) {
        let Some(record) = entry.record.filter(|record| BEGINNINGS.iter().any(|it| record.body.starts_with(it))) else {
            return;
        };
        let Ok(counted) = serde_json::from_slice(record.body) else { return };
        let session = entry.session();
        match counted {
            // Nothing was reserved before there were accounts.
            Counted::ModelCalled { reserved, .. } if reserved == Spending::default() => {}
            Counted::ModelCalled { turn, number, reserved } => {
                let accounts = accounts(&session, &turn, day(record.recorded_at_ms.cast_unsigned()));
                self.change(&accounts, |balance| balance.reserved = balance.reserved.plus(&reserved));
                self.held.insert((turn, number), (session, accounts, reserved));
            }
            Counted::ModelReplied { turn, number, spent } => {
                let Some((_, accounts, reserved)) = self.held.remove(&(turn, number)) else { return };
                self.change(&accounts, |balance| {
                    *balance =
                        Balance { spent: balance.spent.plus(&spent), reserved: balance.reserved.less(&reserved) };
                });
            }
            Counted::TurnClosed { turn, spent } => {
                let accounts = accounts(&session, &turn, day(record.recorded_at_ms.cast_unsigned()));
                self.change(&accounts, |balance| balance.spent = balance.spent.plus(&spent));
            }
        }
    }

    fn change(&mut self, accounts: &[String; 3], change: impl Fn(&mut Balance)) {
        for account in accounts {
            change(self.balances.entry(account.clone()).or_default());
        }
    }

    /// Returns the accounts on which something else stands, or something else is reserved.
    pub(super) fn differing(self, connection: &Connection) -> rusqlite::Result<BTreeSet<String>> {
        let mut differing = BTreeSet::new();
        let mut balances = self.balances;
        let mut statement = connection.prepare("SELECT name, spent, reserved FROM accounts")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let is = read(row.get_ref(1)?.as_str()?)
                .zip(read(row.get_ref(2)?.as_str()?))
                .map(|(spent, reserved)| Balance { spent, reserved });
            if is != Some(balances.remove(&name).unwrap_or_default()) {
                differing.insert(name);
            }
        }
        // Nothing need not be written down.
        differing.extend(balances.into_iter().filter(|(_, ought)| *ought != Balance::default()).map(|(name, _)| name));
        differing.extend(differing_reservations(connection, self.held)?);
        Ok(differing)
    }
}

fn differing_reservations(
    connection: &Connection,
    mut held: BTreeMap<(String, u32), (String, [String; 3], Spending)>,
) -> rusqlite::Result<Vec<String>> {
    let mut differing = Vec::new();
    let mut statement = connection.prepare("SELECT turn, number, session, accounts, spending FROM reservations")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (turn, number): (String, u32) = (row.get(0)?, row.get(1)?);
        let accounts: Option<[String; 3]> = serde_json::from_str(&row.get::<_, String>(3)?).ok();
        let is = accounts.zip(read(row.get_ref(4)?.as_str()?)).zip(Some(row.get::<_, String>(2)?));
        let is = is.map(|((accounts, spending), session)| (session, accounts, spending));
        if held.remove(&(turn.clone(), number)) != is {
            differing.push(format!("turn {turn}"));
        }
    }
    differing.extend(held.into_keys().map(|(turn, _)| format!("turn {turn}")));
    Ok(differing)
}

fn read(text: &str) -> Option<Spending> {
    serde_json::from_str(text).ok()
}
