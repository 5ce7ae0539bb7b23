//! Limits in force beside what was used of them.

use policy::Limits;
use protocol::MicroUsd;
use workspace::{CallAccount, SessionAccount, for_terminal};

fn table(limits: &Limits, call: &CallAccount) -> String {
    let usage = call.finished.as_ref().map(|finished| finished.usage);
    let used = |of: fn(&protocol::CallUsage) -> u64| usage.as_ref().map(of);
    let requests = u64::try_from(call.requests.len()).ok();
    let rows = [
        ("fuel", used(|usage| usage.fuel), limits.fuel, ""),
        ("time", used(|usage| usage.wall_us / 1_000), limits.timeout_ms, " ms"),
        ("memory", used(|usage| usage.memory_bytes), limits.memory_bytes, " bytes"),
        ("output", used(|usage| usage.output_bytes), limits.output_bytes, " bytes"),
        ("staged", used(|usage| usage.staged_bytes), limits.staged_bytes, " bytes"),
        ("requests", requests, u64::from(limits.requests), ""),
        ("received", None, limits.received_bytes, " bytes"),
        ("connections", None, u64::from(limits.connections), " at once"),
        ("staged paths", None, limits.staged_entries, ""),
        ("open files", None, u64::from(limits.open_files), " at once"),
        ("stack", None, limits.stack_bytes, " bytes"),
        ("tables", None, limits.table_elements, " elements"),
        ("instances", None, u64::from(limits.instances), ""),
    ];
    let rows = rows.map(|(name, used, limit, unit)| row(name, used, limit, unit));
    rows.join("\n")
}

/// Returns the section, or why it cannot be told.
pub(super) fn section(account: &SessionAccount, call: &CallAccount) -> String {
    let Some(judged) = call.decisions.last() else { return String::new() };
    let policy = account.policy_of(&judged.decision);
    let tool = account.tool_of(&judged.decision);
    let text = match (policy, tool) {
        (Ok(policy), Ok(tool)) => table(&policy.limits.meet(&tool.limits), call),
        (Err(reason), _) | (_, Err(reason)) => for_terminal(&reason.to_string()),
    };
    super::section("used, of the limits in force", &text)
}

/// Returns what the reply cost that proposed the call; nothing of it is the call's alone.
pub(super) fn cost(call: &CallAccount) -> String {
    let Some(reply) = &call.reply else { return String::new() };
    let tokens = |tokens: Option<u64>| tokens.map_or_else(|| "an unknown number of".to_owned(), grouped);
    let (input, output) = (tokens(reply.usage.input_tokens), tokens(reply.usage.output_tokens));
    let (number, calls) = (reply.number, reply.calls);
    let usd = MicroUsd::new(reply.spent.micro_usd);
    let text = format!("model call {number}, which proposed {calls}: {input} tokens in, {output} tokens out, {usd}");
    super::section("cost", &text)
}

/// Returns one limit; what is not measured is enforced all the same.
fn row(name: &str, used: Option<u64>, limit: u64, unit: &str) -> String {
    match used {
        Some(used) => format!("{name:<12} {} of {}{unit} ({})", grouped(used), grouped(limit), share(used, limit)),
        None => format!("{name:<12} at most {}{unit}", grouped(limit)),
    }
}

/// Returns a number that a person can read: `20_000_000_000`, as limits are written.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut groups = Vec::new();
    if first > 0 {
        groups.push(&digits[..first]);
    }
    let mut rest = &digits[first..];
    while !rest.is_empty() {
        let (group, left) = rest.split_at(3);
        groups.push(group);
        rest = left;
    }
    groups.join("_")
}

/// Returns the share in tenths of a percent, rounded down.
fn share(used: u64, limit: u64) -> String {
    if limit == 0 {
        return "of none".to_owned();
    }
    let tenths = u128::from(used) * 1_000 / u128::from(limit);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_shares_do_not_overflow() {
        assert_eq!([0, 12, 123, 1_234, 20_000_000_000].map(grouped), ["0", "12", "123", "1_234", "20_000_000_000"]);
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(u64::MAX, u64::MAX), "100.0 %");
        assert_eq!(share(1, 0), "of none");
    }
}
