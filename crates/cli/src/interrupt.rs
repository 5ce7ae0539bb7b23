//! Ctrl-C: the first cancels what runs and lets the journal close, the second leaves at once.

use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// Returns a token that SIGINT and SIGTERM cancel.
pub(crate) fn token() -> CancellationToken {
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        signal().await;
        cancel.cancel();
        signal().await;
        std::process::exit(Exit::Cancelled.code().into());
    });
    token
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("the runtime has signals");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
