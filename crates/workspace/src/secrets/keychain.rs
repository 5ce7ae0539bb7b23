//! The keychain of the person's desktop: the Secret Service (freedesktop.org), spoken over D-Bus.

use std::collections::HashMap;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use keyring_core::api::CredentialStoreApi as _;
use keyring_core::{Entry, Error};
use secrecy::{ExposeSecret as _, SecretString};
use zbus_secret_service_keyring_store::Store;

/// How long the keychain may take: it may ask its owner for a password meanwhile.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the keychain knows us by.
const SERVICE: &str = "boxagnts";

/// Why a keychain does not serve. The texts are its own; none holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeychainError {
    #[error("there is none in this session")]
    None,
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it did not answer within a minute")]
    Silent,
    #[error("it did not give back what it was given")]
    Unfaithful,
    #[error("{0}")]
    Failed(String),
}

impl KeychainError {
    /// Tells whether a keychain that says so may hold what it was given, or take it later.
    pub(super) fn may_have_kept(&self) -> bool {
        !matches!(self, Self::None | Self::Unreachable(_))
    }
}

/// Something that keeps values beyond the process, and beyond a login.
pub trait Keychain: Send + Sync {
    /// Keeps `value` as `item`, and makes sure of it.
    fn keep(&self, item: &str, value: &SecretString) -> Result<(), KeychainError>;

    /// Returns the value of `item`, if it is there.
    fn read(&self, item: &str) -> Result<Option<SecretString>, KeychainError>;

    /// Forgets `item`; that it is not there is no error.
    fn remove(&self, item: &str) -> Result<(), KeychainError>;
}

/// The Secret Service on the session's bus. Blocks while the keychain asks its owner.
#[derive(Debug, Clone, Copy, Default)]
pub struct SecretService;

impl Keychain for SecretService {
    fn keep(&self, item: &str, value: &SecretString) -> Result<(), KeychainError> {
        let value = value.clone();
        let given = within(item, move |entry| {
            entry.set_secret(value.expose_secret().as_bytes())?;
            Ok(entry.get_secret()? == value.expose_secret().as_bytes())
        })?;
        if given { Ok(()) } else { Err(KeychainError::Unfaithful) }
    }

    fn read(&self, item: &str) -> Result<Option<SecretString>, KeychainError> {
        within(item, |entry| match entry.get_password() {
            Ok(value) => Ok(Some(value.into())),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(error),
        })
    }

    fn remove(&self, item: &str) -> Result<(), KeychainError> {
        within(item, |entry| match entry.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(error),
        })
    }
}

/// Does something with `item` on a thread of its own: D-Bus blocks, and has no end of its own.
fn within<T: Send + 'static>(
    item: &str,
    act: impl FnOnce(Entry) -> Result<T, Error> + Send + 'static,
) -> Result<T, KeychainError> {
    let (item, (told, heard)) = (item.to_owned(), channel());
    thread::spawn(move || {
        let acted = entry(&item).and_then(|entry| act(entry).map_err(|error| KeychainError::Failed(said(&error))));
        // Whoever waited may have gone.
        let _ = told.send(acted);
    });
    match heard.recv_timeout(PATIENCE) {
        Ok(acted) => acted,
        Err(RecvTimeoutError::Timeout) => Err(KeychainError::Silent),
        Err(RecvTimeoutError::Disconnected) => Err(KeychainError::Failed("its client broke off".into())),
    }
}

/// Connects to the keychain; nothing is asked of it yet.
fn entry(item: &str) -> Result<Entry, KeychainError> {
    let label = format!("BoxAgnts: {item}");
    let store = Store::new().map_err(|error| KeychainError::Unreachable(said(&error)))?;
    let built = store.build(SERVICE, item, Some(&HashMap::from([("label", label.as_str())])));
    built.map_err(|error| KeychainError::Unreachable(said(&error)))
}

/// Returns what is said of `error`, which might hold the bytes of a value.
fn said(error: &Error) -> String {
    match error {
        Error::BadEncoding(_) => "it holds no text".into(),
        Error::NoStorageAccess(reason) | Error::PlatformFailure(reason) => reason.to_string(),
        _ => "it refused".into(),
    }
}
