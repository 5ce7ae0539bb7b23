//! Freeing what nothing needs any more: contents of old changes and calls, whole results, sessions' own folders.
//!
//! Under the commit lock, so that nobody is between keeping contents and naming them in an intent: look at what there is,
//! choose the oldest of what may go until the rest fits, say so in the journal, then take it away. Cut short after it was
//! said, the next time takes away what was said and is still there. Events are never freed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::{CallId, ContentHash, Node, SessionId};
use stage::Quota;

use crate::blobs::KeptBlob;
use crate::faults;
use crate::journal::{Durability, Need, Needs};
use crate::lease::LeaseError;
use crate::private::replace;
use crate::session_tmp::measure;
use crate::state::at;
use crate::workspace::{Workspace, WorkspaceError, lock};

type Result<T> = std::result::Result<T, WorkspaceError>;

/// How long a result may be kept before its call says so, and a session be idle between two calls by hand: more than any
/// call takes.
const GRACE_MS: u64 = 3_600_000;

/// Contents that one event names: some hundred kilobytes of text.
const BATCH: usize = 2_000;

/// What stands in the place of a whole result.
const FREED_RESULT: &str = "The whole output of this call is not kept any more: it was freed to make room. \
    What of it was shown then is in the session. Call the tool again if it is needed.\n";

/// What of the past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// What contents, whole results and sessions' own folders may take together.
    pub max_bytes: u64,
    /// For how long nothing is freed, in milliseconds, whatever it takes.
    pub keep_ms: u64,
}

/// What was freed, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    pub contents: usize,
    pub results: usize,
    pub folders: usize,
    /// Contents that nothing refers to, and those whose freeing was cut short.
    pub leftovers: usize,
    pub freed_bytes: u64,
    /// What is kept after it.
    pub kept_bytes: u64,
}

/// Something that can be freed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    last_at_ms: u64,
    bytes: u64,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Content(ContentHash),
    Folder(SessionId),
}

/// Everything that is kept, and what needs it.
struct Stock {
    small: BTreeMap<ContentHash, u64>,
    blobs: BTreeMap<ContentHash, KeptBlob>,
    folders: Vec<Item>,
    needs: Needs,
    freed: BTreeMap<ContentHash, u64>,
    /// Contents that commits which have not ended need.
    pinned: BTreeSet<ContentHash>,
    /// Sessions whose results and changes are needed: those that can go on, and what they go on from.
    live: BTreeSet<SessionId>,
    now: SystemTime,
}

/// What is chosen to go.
struct Choice {
    items: Vec<Item>,
    leftovers: usize,
    kept_bytes: u64,
}

impl Workspace {
    /// Tells whether more is kept than `retention` allows, without looking at what needs it.
    pub fn is_over(&self, retention: &Retention) -> Result<bool> {
        let beside = self.bytes_beside_journal()?;
        // What the whole database takes is known at once, and is the least that would matter.
        if beside.saturating_add(self.journal().used_bytes()?) <= retention.max_bytes {
            return Ok(false);
        }
        Ok(beside.saturating_add(self.journal().content_bytes()?) > retention.max_bytes)
    }

    fn bytes_beside_journal(&self) -> Result<u64> {
        let blobs: u64 = self.kept_blobs()?.iter().map(|blob| blob.size).sum();
        let mut folders = Quota { bytes: 0, entries: 0 };
        measure(&self.state().session_folders(), &mut folders)?;
        Ok(blobs.saturating_add(folders.bytes))
    }

    /// Frees the oldest of what nothing needs until the rest fits into `retention`, and what a crash left in any case; it
    /// is recorded in `session`. Only looks if `is_trial`. Blocks, and keeps others from committing meanwhile.
    pub fn collect(&self, session: &SessionId, retention: &Retention, is_trial: bool) -> Result<Collected> {
        let _lock = lock(self.state())?;
        let stock = self.stock()?;
        let choice = stock.choose(retention);
        let collected = stock.account(&choice);
        if !is_trial {
            self.free(session, &stock, &choice)?;
        }
        Ok(collected)
    }

    fn stock(&self) -> Result<Stock> {
        let journal = self.journal();
        let nodes = |change: &protocol::Change| [change.before.clone(), change.after.clone()];
        let unfinished = journal.unfinished()?;
        let pinned = unfinished.iter().flat_map(|commit| &commit.changes.changes).flat_map(nodes).filter_map(content);
        Ok(Stock {
            small: journal.content_sizes()?.into_iter().collect(),
            blobs: self.kept_blobs()?.into_iter().map(|blob| (blob.hash.clone(), blob)).collect(),
            folders: self.idle_folders()?,
            needs: journal.needs()?,
            freed: journal.freed()?,
            pinned: pinned.collect(),
            live: self.live_sessions()?,
            now: self.clock()(),
        })
    }

    fn kept_blobs(&self) -> Result<Vec<KeptBlob>> {
        self.blobs().list().map_err(at(&self.state().blobs()))
    }

    /// Returns the folders of sessions that are over.
    fn idle_folders(&self) -> Result<Vec<Item>> {
        let mut idle = Vec::new();
        for (name, path) in entries(&self.state().session_folders())? {
            let Ok(session) = name.parse::<SessionId>() else { continue };
            let mut used = Quota { bytes: 0, entries: 0 };
            measure(&path, &mut used)?;
            if used.entries > 0 && self.is_over_with(&session)? {
                let last_at_ms = self.journal().last_used_ms(&session)?.unwrap_or(0);
                idle.push(Item { last_at_ms, bytes: used.bytes, what: What::Folder(session) });
            }
        }
        Ok(idle)
    }

    fn live_sessions(&self) -> Result<BTreeSet<SessionId>> {
        let mut live = BTreeSet::new();
        for session in self.journal().session_ids()? {
            if !self.is_over_with(&session)? {
                live.extend(self.journal().story(&session)?.into_iter().map(|chapter| chapter.session));
            }
        }
        Ok(live)
    }

    /// Tells whether nobody drives `session`, and nothing of it is left to go on with.
    fn is_over_with(&self, session: &SessionId) -> Result<bool> {
        if !self.journal().is_finished(session)? {
            return Ok(false);
        }
        // What is staged may still be committed.
        if self.journal().has_staged(session)? && !self.view(session)?.staged.is_empty() {
            return Ok(false);
        }
        let was_driven = self.state().locks().join(session.as_str()).exists();
        Ok(!was_driven || !matches!(self.lease(session), Err(LeaseError::Held(_))))
    }

    fn free(&self, session: &SessionId, stock: &Stock, choice: &Choice) -> Result<()> {
        // A journal that is not known to be whole is evidence: nothing beside it goes either.
        self.journal().append(session, &[], Durability::Process)?;
        self.empty_freed()?;
        let results = self.result_files()?;
        for batch in choice.items.chunks(BATCH) {
            let contents: Vec<ContentHash> = batch.iter().filter_map(Item::content).cloned().collect();
            let folders: Vec<SessionId> = batch.iter().filter_map(Item::folder).cloned().collect();
            let bytes = batch.iter().map(|item| item.bytes).sum();
            faults::point("chosen");
            self.journal().say_freed(session, contents.clone(), folders.clone(), bytes)?;
            faults::point("said");
            self.journal().remove_contents(&contents)?;
            for hash in &contents {
                faults::point("freeing");
                self.free_content(hash, stock.needs.get(hash), &results)?;
            }
            for folder in &folders {
                faults::point("freeing");
                self.free_folder(folder)?;
            }
        }
        self.sweep_leftovers(stock, &results)?;
        self.empty_freed()?;
        Ok(self.journal().give_back()?)
    }

    /// Takes a blob away; before, what else names it says that it is gone.
    fn free_content(&self, hash: &ContentHash, need: Option<&Need>, results: &Results) -> Result<()> {
        for call in need.iter().flat_map(|need| &need.results) {
            for path in results.get(call).into_iter().flatten() {
                note_freed(path.parent().unwrap_or(path), call)?;
                faults::point("noted");
            }
        }
        self.blobs().remove(hash).map_err(at(&self.blobs().path(hash)))
    }

    /// Takes a folder away, as a whole as seen from its place.
    fn free_folder(&self, session: &SessionId) -> Result<()> {
        let (from, to) = (self.state().session_folders().join(session.as_str()), self.state().freed());
        match fs::rename(&from, to.join(session.as_str())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&from)(error)),
            _ => Ok(()),
        }
    }

    fn empty_freed(&self) -> Result<()> {
        for (_, path) in entries(&self.state().freed())? {
            fs::remove_dir_all(&path).map_err(at(&path))?;
        }
        Ok(())
    }

    /// Removes files that no crash should have left: temporaries, and results of calls that never said so.
    fn sweep_leftovers(&self, stock: &Stock, results: &Results) -> Result<()> {
        let known: BTreeSet<&CallId> = stock.needs.values().flat_map(|need| &need.results).collect();
        let unknown = results.iter().filter(|(call, _)| !known.contains(call)).flat_map(|(_, paths)| paths.clone());
        let temporaries = entries(&self.state().blob_temporaries())?.into_iter().map(|(_, path)| path);
        for path in unknown.chain(temporaries) {
            let is_old = fs::symlink_metadata(&path).and_then(|found| found.modified());
            if is_old.is_ok_and(|modified| stock.is_old(modified)) {
                remove(&path)?;
            }
        }
        // Nobody but the holder of the lock uses these.
        entries(&self.state().commit_temporaries())?.iter().try_for_each(|(_, path)| remove(path))
    }

    /// Returns the files of whole results, by their calls.
    fn result_files(&self) -> Result<Results> {
        let mut files = Results::new();
        for (_, folder) in entries(&self.state().all_results())? {
            for (name, path) in entries(&folder)? {
                if let Some(call) = name.strip_suffix(".txt").and_then(|call| call.parse().ok()) {
                    files.entry(call).or_default().push(path);
                }
            }
        }
        Ok(files)
    }
}

/// Files of whole results: of the session that made the call, and of those that go on from it.
type Results = BTreeMap<CallId, Vec<PathBuf>>;

impl Stock {
    /// Chooses leftovers, and then the oldest of what may go, until the rest fits.
    fn choose(&self, retention: &Retention) -> Choice {
        let (mut items, mut may_go) = (Vec::new(), Vec::new());
        let mut kept_bytes: u64 = self.folders.iter().map(|folder| folder.bytes).sum();
        for hash in self.small.keys().chain(self.blobs.keys().filter(|hash| !self.small.contains_key(*hash))) {
            let item = self.item(hash);
            kept_bytes = kept_bytes.saturating_add(item.bytes);
            match self.fate(hash, retention) {
                Fate::Leftover => items.push(item),
                Fate::MayGo => may_go.push(item),
                Fate::Stays => {}
            }
        }
        let idle = Retention { keep_ms: retention.keep_ms.max(GRACE_MS), ..*retention };
        may_go.extend(self.folders.iter().filter(|folder| self.is_past(folder.last_at_ms, &idle)).cloned());
        // Contents of one change set are of one age, and the order is the same every time.
        may_go.sort_by(|left, right| left.last_at_ms.cmp(&right.last_at_ms).then(right.bytes.cmp(&left.bytes)));
        let leftovers = items.len();
        kept_bytes -= items.iter().map(|item| item.bytes).sum::<u64>();
        for item in may_go {
            if kept_bytes <= retention.max_bytes {
                break;
            }
            kept_bytes -= item.bytes;
            items.push(item);
        }
        Choice { items, leftovers, kept_bytes }
    }

    fn item(&self, hash: &ContentHash) -> Item {
        let small = self.small.get(hash).copied().unwrap_or(0);
        let bytes = small.saturating_add(self.blobs.get(hash).map_or(0, |blob| blob.size));
        let last_at_ms = self.needs.get(hash).map_or(0, |need| need.last_at_ms);
        Item { last_at_ms, bytes, what: What::Content(hash.clone()) }
    }

    fn fate(&self, hash: &ContentHash, retention: &Retention) -> Fate {
        let need = self.needs.get(hash);
        // A result is there before its call says so.
        let is_awaited = |blob: &KeptBlob| (need.is_none() || blob.is_linked) && !self.is_old(blob.modified);
        if self.blobs.get(hash).is_some_and(is_awaited) {
            return Fate::Stays;
        }
        let Some(need) = need else { return Fate::Leftover };
        if self.pinned.contains(hash) || need.sessions.iter().any(|session| self.live.contains(session)) {
            return Fate::Stays;
        }
        let was_said = self.freed.get(hash).is_some_and(|said| *said > need.sequence);
        match was_said {
            true => Fate::Leftover,
            false if self.is_past(need.last_at_ms, retention) => Fate::MayGo,
            false => Fate::Stays,
        }
    }

    /// Tells whether what was needed last then is kept long enough.
    fn is_past(&self, at_ms: u64, retention: &Retention) -> bool {
        let now_ms = self.now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        u128::from(at_ms) + u128::from(retention.keep_ms) <= now_ms
    }

    fn is_old(&self, modified: SystemTime) -> bool {
        self.now.duration_since(modified).is_ok_and(|age| age >= Duration::from_millis(GRACE_MS))
    }

    fn account(&self, choice: &Choice) -> Collected {
        let chosen = choice.items.iter().skip(choice.leftovers);
        let results = |item: &&Item| {
            let need = item.content().and_then(|hash| self.needs.get(hash));
            need.is_some_and(|need| !need.results.is_empty())
        };
        let folders = chosen.clone().filter(|item| item.folder().is_some()).count();
        let results = chosen.clone().filter(results).count();
        Collected {
            contents: chosen.count() - folders - results,
            results,
            folders,
            leftovers: choice.leftovers,
            freed_bytes: choice.items.iter().map(|item| item.bytes).sum(),
            kept_bytes: choice.kept_bytes,
        }
    }
}

/// What becomes of a content.
enum Fate {
    Stays,
    MayGo,
    /// Nothing refers to it, or it was said to be freed already.
    Leftover,
}

impl Item {
    fn content(&self) -> Option<&ContentHash> {
        match &self.what {
            What::Content(hash) => Some(hash),
            What::Folder(_) => None,
        }
    }

    fn folder(&self) -> Option<&SessionId> {
        match &self.what {
            What::Folder(session) => Some(session),
            What::Content(_) => None,
        }
    }
}

fn content(node: Node) -> Option<ContentHash> {
    match node {
        Node::File { hash, .. } => Some(hash),
        _ => None,
    }
}

/// Puts a note in the place of a call's whole result. The name is replaced: writing would reach the blob.
pub(crate) fn note_freed(folder: &Path, call: &CallId) -> Result<()> {
    replace(folder, &format!("{call}.txt"), FREED_RESULT.as_bytes()).map_err(at(folder))
}

/// Returns what is in a folder: names that are text, with their paths.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}
