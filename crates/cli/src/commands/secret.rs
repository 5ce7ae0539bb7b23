//! `boxagnts secret`: what may be sent out in a person's name. A value comes in here, and is never shown again.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Read as _, stdin};

use policy::{HostPattern, Placement, SecretName, SecretSpec};
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use workspace::{Kept, KeychainError, SecretStore, Stored, for_terminal};

use super::print;
use crate::args::{Place, Placed};
use crate::boot::Site;
use crate::exit::{Exit, Failure};

/// Bytes that are read from stdin: more than any value that is taken.
const MAX_INPUT_BYTES: u64 = 64 << 10;

pub(crate) fn set(place: &Place, name: &str, hosts: &[String], placed: &Placed) -> Result<Exit, Failure> {
    let spec = said(name, hosts, placed)?;
    let site = Site::find(place)?;
    let store = site.secret_store()?;
    let value = value(spec.name())?;
    let name = spec.name().clone();
    let stored = store.set(spec, &value).map_err(Failure::usage)?;
    eprintln!("{name} is kept in {}", kept(&store, &stored));
    if let Some(reason) = &stored.left_in_keychain {
        eprintln!("{}\nonce it answers, set {name} again: that replaces it", left_in_keychain(&name, reason));
    }
    if !site.config.allowed_secrets.contains(&name) {
        eprintln!("tools here may not send it yet; in boxagnts.toml:\n\n    [secrets]\n    allowed = [\"{name}\"]");
    }
    Ok(Exit::Done)
}

fn said(name: &str, hosts: &[String], placed: &Placed) -> Result<SecretSpec, Failure> {
    let name: SecretName = name.parse().map_err(Failure::usage)?;
    let hosts: Result<BTreeSet<HostPattern>, _> = hosts.iter().map(|host| host.parse()).collect();
    SecretSpec::new(name, hosts.map_err(Failure::usage)?, placement(placed)).map_err(Failure::usage)
}

fn placement(placed: &Placed) -> Placement {
    match (&placed.header, &placed.query, &placed.basic) {
        (Some(name), ..) => Placement::Header { name: name.clone(), format: placed.format.clone() },
        (_, Some(name), _) => Placement::Query { name: name.clone() },
        (.., user) => Placement::Basic { user: user.clone().unwrap_or_default() },
    }
}

/// Asks for the value without showing it, or takes it from stdin. It is never an argument: others can read those.
fn value(name: &SecretName) -> Result<SecretString, Failure> {
    if stdin().is_terminal() {
        let typed = rpassword::prompt_password(format!("value of {name} (it is not shown): "));
        return typed.map(SecretString::from).map_err(|error| Failure::usage(format!("no value was read: {error}")));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    let read = stdin().take(MAX_INPUT_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| Failure::usage(format!("stdin cannot be read: {error}")))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::usage("the value on stdin is not UTF-8 text"))?;
    let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    Ok(line.unwrap_or(text).into())
}

fn kept(store: &SecretStore, stored: &Stored) -> String {
    let file = || format!("{}, which only you can read", store.folder().join("values.json").display());
    match (stored.kept, &stored.not_in_keychain) {
        (Kept::Keychain, _) => "the keychain".to_owned(),
        (Kept::File, None) => file(),
        (Kept::File, Some(reason)) => {
            format!("{} (not in the keychain: {})", file(), for_terminal(&reason.to_string()))
        }
    }
}

pub(crate) fn list(place: &Place) -> Result<Exit, Failure> {
    let site = Site::find(place)?;
    let secrets = site.secret_store()?.list().map_err(Failure::usage)?;
    for secret in &secrets {
        let is_allowed = site.config.allowed_secrets.contains(secret.spec.name());
        let kept = if secret.kept == Kept::Keychain { "keychain" } else { "file" };
        let allowed = if is_allowed { "allowed here" } else { "not allowed here" };
        let (name, placement, hosts) = (secret.spec.name(), secret.spec.placement(), secret.spec.bound_to());
        print(&format!("{name}  {placement}  {hosts}  {kept}  {allowed}"))?;
    }
    let is_stored = |name: &&SecretName| secrets.iter().any(|secret| secret.spec.name() == *name);
    for name in site.config.allowed_secrets.iter().filter(|name| !is_stored(name)) {
        print(&format!("{name}  allowed here, but not stored"))?;
    }
    if secrets.is_empty() {
        eprintln!("no secret is stored; see: boxagnts secret set --help");
    }
    Ok(Exit::Done)
}

pub(crate) fn remove(place: &Place, name: &str) -> Result<Exit, Failure> {
    let name: SecretName = name.parse().map_err(Failure::usage)?;
    let removed = Site::find(place)?.secret_store()?.remove(&name).map_err(Failure::usage)?;
    if let Some(reason) = &removed.left_in_keychain {
        eprintln!("{}\nonce it answers: boxagnts secret rm {name}", left_in_keychain(&name, reason));
    }
    if removed.was_there {
        eprintln!("{name} is removed");
        return Ok(Exit::Done);
    }
    Err(Failure::usage(format!("there is no secret {name}")).hint("see which there are: boxagnts secret list"))
}

/// Says that a value may lie where nothing looks for it any more.
fn left_in_keychain(name: &SecretName, reason: &KeychainError) -> String {
    let reason = for_terminal(&reason.to_string());
    format!("the keychain may still hold a value of {name}, which could not be removed: {reason}")
}
