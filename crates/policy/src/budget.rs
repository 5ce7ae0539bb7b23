//! What a session may spend on models, and whether the next call fits.
//!
//! A call is paid for before it is made: what it can cost at most is reserved on every account that it counts for, and
//! settled when its cost is known. Where the most does not fit, the reply is made shorter; below a useful length there is
//! no call.

use protocol::{BudgetScope, Measure, Spending};

/// Tokens of a reply below which asking is a waste: a call of a tool with a short argument has a few hundred.
pub const LEAST_OUTPUT_TOKENS: u64 = 512;

/// What may be spent at most: always finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub call: Spending,
    pub turn: Spending,
    pub session: Spending,
    pub day: Spending,
}

const HOUR_MS: u64 = 3_600_000;

impl Default for Budget {
    /// Returns what a long task needs, and what a person can bear who was not looking.
    fn default() -> Self {
        let dollars = 1_000_000;
        Self {
            call: Spending { model_calls: 1, tokens: 2_000_000, micro_usd: 5 * dollars, time_ms: HOUR_MS / 2 },
            turn: Spending { model_calls: 1_000, tokens: 20_000_000, micro_usd: 10 * dollars, time_ms: 4 * HOUR_MS },
            session: Spending {
                model_calls: 10_000,
                tokens: 100_000_000,
                micro_usd: 25 * dollars,
                time_ms: 24 * HOUR_MS,
            },
            day: Spending { model_calls: 20_000, tokens: 200_000_000, micro_usd: 50 * dollars, time_ms: 96 * HOUR_MS },
        }
    }
}

impl Budget {
    /// The widest budget that this runtime keeps.
    pub const MAX: Spending =
        Spending { model_calls: 100_000_000, tokens: 1 << 50, micro_usd: 1 << 50, time_ms: 366 * 24 * HOUR_MS };

    /// Returns the limit of one scope.
    pub fn of(&self, scope: BudgetScope) -> &Spending {
        match scope {
            BudgetScope::Call => &self.call,
            BudgetScope::Turn => &self.turn,
            BudgetScope::Session => &self.session,
            BudgetScope::Day => &self.day,
        }
    }
}

/// One account that a model call counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub scope: BudgetScope,
    pub limit: Spending,
    /// Spent or reserved.
    pub taken: Spending,
}

impl Room {
    /// Returns what can still be reserved.
    pub fn left(&self) -> Spending {
        self.limit.less(&self.taken)
    }

    fn refuse(&self, measure: Measure, needed: u64) -> Exceeded {
        let (limit, left) = (self.limit.of(measure), self.left().of(measure));
        Exceeded { scope: self.scope, measure, limit, left, needed }
    }
}

/// What a model call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Never fewer than the request really has.
    pub input_tokens: u64,
    /// Tokens that the reply may have.
    pub output_tokens: u64,
    /// How long it may take.
    pub time_ms: u64,
}

/// What is reserved for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// Tokens that the reply may have, now that money is known to last for them.
    pub output_tokens: u64,
    pub spending: Spending,
}

/// A budget that the next call might overspend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    pub scope: BudgetScope,
    pub measure: Measure,
    pub limit: u64,
    pub left: u64,
    /// What the smallest call that is of use would take.
    pub needed: u64,
}

/// Returns what to reserve for a call so that no account is overspent, whatever the model does. `cost` returns
/// the most, in micro-USD, that so many tokens of input and output can cost; more tokens never cost less.
pub fn reserve(need: &Need, rooms: &[Room], cost: impl Fn(u64, u64) -> u64) -> Result<Reservation, Exceeded> {
    let spending = |output_tokens: u64| Spending {
        model_calls: 1,
        tokens: need.input_tokens.saturating_add(output_tokens),
        micro_usd: cost(need.input_tokens, output_tokens),
        time_ms: rooms.iter().map(|room| room.left().time_ms).min().unwrap_or(0).min(need.time_ms),
    };
    let least = need.output_tokens.min(LEAST_OUTPUT_TOKENS);
    if let Some(exceeded) = rooms.iter().find_map(|room| lacking(room, &spending(least))) {
        return Err(exceeded);
    }
    let fits = |output_tokens: u64| rooms.iter().all(|room| spending(output_tokens).beyond(&room.left()).is_none());
    let output_tokens = last_that(least, need.output_tokens, fits);
    Ok(Reservation { output_tokens, spending: spending(output_tokens) })
}

fn lacking(room: &Room, needed: &Spending) -> Option<Exceeded> {
    if room.left().time_ms == 0 {
        return Some(room.refuse(Measure::TimeMs, 1));
    }
    needed.beyond(&room.left()).map(|measure| room.refuse(measure, needed.of(measure)))
}

/// Returns the last number of `first..=last` that `fits`; those that fit come first, and `first` does.
fn last_that(mut first: u64, mut last: u64, fits: impl Fn(u64) -> bool) -> u64 {
    while first < last {
        let middle = last - (last - first) / 2;
        if fits(middle) { first = middle } else { last = middle - 1 }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LARGE: Spending = Spending { model_calls: 10, tokens: 1 << 40, micro_usd: 1 << 40, time_ms: 1 << 40 };

    fn room(limit: Spending) -> Room {
        Room { scope: BudgetScope::Session, limit, taken: Spending::default() }
    }

    fn need(input_tokens: u64, output_tokens: u64) -> Need {
        Need { input_tokens, output_tokens, time_ms: 60_000 }
    }

    /// 3 micro-USD for a token of input, 15 for one of output.
    fn cost(input: u64, output: u64) -> u64 {
        input * 3 + output * 15
    }

    #[test]
    fn what_fits_is_reserved_whole() {
        let reserved = reserve(&need(1_000, 2_000), &[room(LARGE)], cost).unwrap();
        let spending = Spending { model_calls: 1, tokens: 3_000, micro_usd: 33_000, time_ms: 60_000 };
        assert_eq!(reserved, Reservation { output_tokens: 2_000, spending });
    }

    #[test]
    fn a_reply_is_made_as_short_as_the_tightest_account_wants() {
        let money = room(Spending { micro_usd: 3_000 + 15 * 700, ..LARGE });
        let tokens = room(Spending { tokens: 1_600, ..LARGE });
        assert_eq!(reserve(&need(1_000, 2_000), &[room(LARGE), money], cost).unwrap().output_tokens, 700);
        assert_eq!(reserve(&need(1_000, 2_000), &[money, tokens], cost).unwrap().output_tokens, 600);
    }

    #[test]
    fn below_a_useful_length_there_is_no_call() {
        let left = 3_000 + 15 * (LEAST_OUTPUT_TOKENS - 1);
        let taken = Spending { micro_usd: 1_000_000 - left, ..Spending::default() };
        let tight = Room { taken, ..room(Spending { micro_usd: 1_000_000, ..LARGE }) };
        let exceeded = Exceeded {
            scope: BudgetScope::Session,
            measure: Measure::MicroUsd,
            limit: 1_000_000,
            left,
            needed: left + 15,
        };
        assert_eq!(reserve(&need(1_000, 2_000), &[room(LARGE), tight], cost), Err(exceeded));
        // A model that cannot write more is asked all the same.
        assert_eq!(reserve(&need(1_000, 10), &[tight], cost).unwrap().output_tokens, 10);
    }

    #[test]
    fn calls_and_time_run_out_too() {
        let calls = reserve(&need(1, 1), &[room(Spending { model_calls: 0, ..LARGE })], cost).unwrap_err();
        assert_eq!((calls.measure, calls.needed), (Measure::ModelCalls, 1));
        let time = reserve(&need(1, 1), &[room(Spending { time_ms: 0, ..LARGE })], cost).unwrap_err();
        assert_eq!(time.measure, Measure::TimeMs);
        let short = reserve(&need(1, 1), &[room(Spending { time_ms: 7, ..LARGE })], cost).unwrap();
        assert_eq!(short.spending.time_ms, 7);
    }

    fn spendings() -> impl Strategy<Value = Spending> {
        let amounts = (0_u64..5, 0_u64..5_000, 0_u64..50_000, 0_u64..1_000);
        amounts.prop_map(|(model_calls, tokens, micro_usd, time_ms)| Spending {
            model_calls,
            tokens,
            micro_usd,
            time_ms,
        })
    }

    proptest! {
        /// Nothing that is reserved overspends an account, and a reply that could be longer is.
        #[test]
        fn no_account_is_ever_overspent(
            limits in prop::collection::vec((spendings(), spendings()), 1..4),
            input in 0_u64..3_000,
            output in 1_u64..3_000,
        ) {
            let rooms: Vec<Room> = limits
                .into_iter()
                .map(|(limit, taken)| Room { scope: BudgetScope::Turn, limit, taken })
                .collect();
            let need = Need { input_tokens: input, output_tokens: output, time_ms: 500 };
            let fits = |spending: &Spending| rooms.iter().all(|room| spending.beyond(&room.left()).is_none());
            match reserve(&need, &rooms, cost) {
                Ok(reserved) => {
                    prop_assert!(fits(&reserved.spending));
                    prop_assert!(reserved.output_tokens <= output);
                    let longer = Spending {
                        tokens: reserved.spending.tokens + 1,
                        micro_usd: cost(input, reserved.output_tokens + 1),
                        ..reserved.spending
                    };
                    prop_assert!(reserved.output_tokens == output || !fits(&longer));
                }
                Err(exceeded) => prop_assert!(exceeded.needed > exceeded.left),
            }
        }
    }
}
