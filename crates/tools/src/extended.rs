//! The extensions as the registry uses them: what is there, and whether a person approved what it asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::{ContentHash, Level};

use crate::approver::{Approver, Asked};
use crate::extensions::{Extensions, Found, Look, Whole};

/// The rule that a question about an extension names.
const RULE: &str = "extensions";

/// The watched extensions, and who is asked about them.
pub(crate) struct Extended {
    extensions: Arc<Extensions>,
    approver: Arc<dyn Approver>,
    last: Mutex<Look>,
    /// What a person did not approve. Held while asking, so that nobody is asked the same twice.
    refused: tokio::sync::Mutex<BTreeSet<(ContentHash, ContentHash)>>,
}

impl Extended {
    pub(crate) fn new(extensions: Extensions, approver: Arc<dyn Approver>) -> Self {
        let (last, refused) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { extensions: Arc::new(extensions), approver, last, refused }
    }

    pub(crate) fn extensions(&self) -> &Arc<Extensions> {
        &self.extensions
    }

    /// Returns what there is now. What changed is read on a thread that may block.
    pub(crate) async fn look(&self) -> Look {
        let extensions = self.extensions.clone();
        let look = tokio::task::spawn_blocking(move || extensions.look()).await.unwrap_or_default();
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&look);
        look
    }

    /// Returns the level of each extension that was approved when somebody last looked.
    pub(crate) fn levels(&self) -> BTreeMap<String, Level> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let approved = last.iter().filter_map(|(name, found)| Some((name.clone(), found.approved()?)));
        approved.map(|(name, whole)| (name, whole.source.manifest.level)).collect()
    }

    /// Returns what was `found` when it is whole and approved; what wants more is asked about, once.
    pub(crate) async fn approved(&self, found: Found) -> Option<Arc<Whole>> {
        if let Some(whole) = found.approved() {
            return Some(whole);
        }
        let Found::Whole(whole) = found else { return None };
        let mut refused = self.refused.lock().await;
        let identity = whole.identity();
        if refused.contains(&identity) {
            return None;
        }
        if self.ask(&whole).await == Some(true) && self.extensions.approve(&whole.source).is_ok() {
            self.look().await;
            return Some(whole);
        }
        refused.insert(identity);
        None
    }

    async fn ask(&self, whole: &Whole) -> Option<bool> {
        let manifest = &whole.source.manifest;
        let asked = Asked {
            tool: &manifest.name,
            effects: &whole.difference.lines(),
            rule: RULE,
            reason: "this extension asks for more than you approved",
            detail: &format!("version {}\n{}", manifest.version, whole.entry.purpose()),
            ceiling: "",
            approval: None,
            may_remember: false,
        };
        self.approver.trust(asked).await
    }
}
