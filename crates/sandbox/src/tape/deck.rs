//! What answers a call's questions: the world, the world with a recorder, or a tape.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use policy::Limits;
use protocol::{ChangeSet, ContentHash};
use stage::{Base, Left, Player, Quota, Recorder, Room, TapeContents};

use super::exchange::{Exchange, Taken};
use super::seed::{Random, Seed};
use super::{MAX_TAPE_BYTES, MountTape, NoTape, StagedTape, Tape, VERSION};

/// Bytes that a reading of a clock, or a wait, counts as.
const READING_BYTES: u64 = 8;

/// How far the clock of a replay goes on with each reading that its tape does not have.
const BEYOND_NS: u64 = 1_000_000;

/// Contents by their hash.
pub type Contents = TapeContents;

/// Records one call: made before its mounts, handed over with it, and taken when nothing of it is computed any more.
#[derive(Clone)]
pub struct Recording(Arc<Notes>);

struct Notes {
    room: Room,
    mounts: Mutex<Vec<(String, Recorder)>>,
    staged: Mutex<BTreeMap<String, StagedTape>>,
    readings: Mutex<Vec<u64>>,
    waits: Mutex<Vec<(u64, Vec<u32>)>>,
    pub(super) exchanges: Mutex<Vec<Arc<Mutex<Taken>>>>,
    /// What is known once the call began.
    call: Mutex<Option<Began>>,
}

struct Began {
    limits: Limits,
    seed: Seed,
    at: Duration,
    mounts: Vec<(String, bool, Quota)>,
}

/// A recorded call.
pub struct Recorded {
    pub tape: Tape,
    /// What the tape names.
    pub contents: Vec<(ContentHash, Vec<u8>)>,
}

impl Default for Recording {
    fn default() -> Self {
        Self::holding(MAX_TAPE_BYTES)
    }
}

impl Recording {
    /// Returns a recording that holds at most `bytes`.
    pub fn holding(bytes: u64) -> Self {
        Self(Arc::new(Notes {
            room: Room::new(bytes),
            mounts: Mutex::default(),
            staged: Mutex::default(),
            readings: Mutex::default(),
            waits: Mutex::default(),
            exchanges: Mutex::default(),
            call: Mutex::default(),
        }))
    }

    /// Returns `base`, of which is recorded what it answers as the mount called `name`.
    #[must_use]
    pub fn mount(&self, name: &str, base: Base) -> Base {
        let recorder = Recorder::new(self.0.room.clone());
        lock(&self.0.mounts).push((name.to_owned(), recorder.clone()));
        base.recorded(recorder)
    }

    /// Notes that the mount called `name` began with `changes`, which earlier calls had staged, with the time `at`.
    pub fn staged(&self, name: &str, changes: ChangeSet, at: SystemTime) {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let staged = StagedTape { changes, at: (since.as_secs(), since.subsec_nanos()) };
        lock(&self.0.staged).insert(name.to_owned(), staged);
    }

    /// Ends the recording; `None` of a call that did not begin. Fails with the reason why it cannot be replayed.
    pub fn take(&self) -> Option<Result<Recorded, NoTape>> {
        let call = lock(&self.0.call).take()?;
        if let Some(reason) = self.0.room.void() {
            return Some(Err(NoTape(reason.to_owned())));
        }
        let mut contents = Vec::new();
        let recorders = std::mem::take(&mut *lock(&self.0.mounts));
        let mut mounts = Vec::new();
        for (name, writable, Quota { bytes, entries }) in call.mounts {
            let Some((_, recorder)) = recorders.iter().find(|(of, _)| *of == name) else {
                return Some(Err(NoTape(format!("{name} was not recorded"))));
            };
            let (files, kept) = recorder.take();
            contents.extend(kept);
            let staged = lock(&self.0.staged).remove(&name);
            mounts.push(MountTape { name, writable, bytes, entries, files, staged });
        }
        let exchanges = std::mem::take(&mut *lock(&self.0.exchanges));
        let exchanges = exchanges.iter().map(|taken| lock(taken).finish(&mut contents)).collect();
        let tape = Tape {
            version: VERSION,
            limits: call.limits,
            seed: call.seed,
            began: (call.at.as_secs(), call.at.subsec_nanos()),
            readings: distances(&std::mem::take(&mut *lock(&self.0.readings))),
            waits: std::mem::take(&mut *lock(&self.0.waits)),
            exchanges,
            mounts,
        };
        Some(Ok(Recorded { tape, contents }))
    }

    pub(super) fn room(&self) -> &Room {
        &self.0.room
    }

    pub(super) fn add(&self, exchange: Arc<Mutex<Taken>>) {
        lock(&self.0.exchanges).push(exchange);
    }
}

fn distances(readings: &[u64]) -> Vec<u64> {
    let before = std::iter::once(0).chain(readings.iter().copied());
    readings.iter().zip(before).map(|(reading, before)| reading.saturating_sub(before)).collect()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What answers one call.
pub(crate) struct Deck {
    pub(crate) started: Instant,
    /// The wall clock at its start.
    began: Duration,
    random: Mutex<Random>,
    waited: AtomicU64,
    mode: Mode,
}

enum Mode {
    Live,
    Recorded(Recording),
    Played(Played),
}

/// A tape that is being played.
pub(super) struct Played {
    readings: Vec<u64>,
    read: AtomicUsize,
    waits: Vec<(u64, Vec<u32>)>,
    exchanges: Mutex<std::vec::IntoIter<Exchange>>,
    pub(super) contents: Contents,
    pub(super) left: Left,
}

impl Deck {
    /// Returns the world, which `recording` records.
    pub(crate) fn live(recording: Option<&Recording>, limits: &Limits, mounts: Vec<(String, bool, Quota)>) -> Self {
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = Seed::fresh();
        let mode = recording.map_or(Mode::Live, |recording| {
            let call = Began { limits: *limits, seed: seed.clone(), at: began, mounts };
            *lock(&recording.0.call) = Some(call);
            Mode::Recorded(recording.clone())
        });
        Self::new(seed, began, mode)
    }

    /// Returns what plays `tape`; its mounts are played by themselves.
    pub(crate) fn played(tape: &Tape, contents: Contents, left: Left) -> Self {
        let mut at = 0_u64;
        let readings = tape.readings.iter().map(|distance| {
            at = at.saturating_add(*distance);
            at
        });
        let played = Played {
            readings: readings.collect(),
            read: AtomicUsize::new(0),
            waits: tape.waits.clone(),
            exchanges: Mutex::new(tape.exchanges.clone().into_iter()),
            contents,
            left,
        };
        let (seconds, nanoseconds) = tape.began;
        let began = Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanoseconds.into()));
        Self::new(tape.seed.clone(), began, Mode::Played(played))
    }

    fn new(seed: Seed, began: Duration, mode: Mode) -> Self {
        let (random, waited) = (Mutex::new(Random::new(seed)), AtomicU64::new(0));
        Self { started: Instant::now(), began, random, waited, mode }
    }

    /// Reads the clock: nanoseconds since the call began.
    pub(crate) fn elapsed_ns(&self) -> u64 {
        match &self.mode {
            Mode::Live => self.running_ns(),
            Mode::Recorded(recording) => {
                // Held while reading, so that the readings of two threads are in their order.
                let mut readings = lock(&recording.0.readings);
                let now = self.running_ns();
                if recording.0.room.take(READING_BYTES) {
                    readings.push(now);
                }
                now
            }
            Mode::Played(played) => played.reading(),
        }
    }

    fn running_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Reads the wall clock. It starts with the host's and goes on with the monotonic clock: one reading tells both, and no
    /// call sees it jump.
    pub(crate) fn now(&self) -> Duration {
        self.began.saturating_add(Duration::from_nanos(self.elapsed_ns()))
    }

    pub(crate) fn random(&self) -> MutexGuard<'_, Random> {
        lock(&self.random)
    }

    /// Tells whether time stands still between two questions.
    pub(crate) fn is_played(&self) -> bool {
        matches!(self.mode, Mode::Played(_))
    }

    /// Returns what is ready of `count` things now, if a tape says so.
    pub(super) fn ready(&self, count: usize) -> Option<Vec<u32>> {
        let Mode::Played(played) = &self.mode else { return None };
        let number = self.waited.fetch_add(1, Ordering::Relaxed);
        let exception = played.waits.binary_search_by_key(&number, |(at, _)| *at);
        let exception = exception.ok().map(|found| played.waits[found].1.clone());
        Some(exception.unwrap_or_else(|| (0..u32::try_from(count).unwrap_or(u32::MAX)).collect()))
    }

    /// Notes what was ready of `count` things.
    pub(super) fn waited(&self, count: usize, ready: &[u32]) {
        let Mode::Recorded(recording) = &self.mode else { return };
        let number = self.waited.fetch_add(1, Ordering::Relaxed);
        let is_all = ready.len() == count && ready.iter().zip(0..).all(|(at, expected)| *at == expected);
        if !is_all && recording.0.room.take(READING_BYTES * (2 + ready.len() as u64)) {
            lock(&recording.0.waits).push((number, ready.to_vec()));
        }
    }

    /// Notes that the call does what no tape holds.
    pub(crate) fn spoil(&self, reason: &str) {
        match &self.mode {
            Mode::Live => {}
            Mode::Recorded(recording) => recording.0.room.spoil(reason),
            Mode::Played(played) => played.left.note(|| reason.to_owned()),
        }
    }

    pub(super) fn recording(&self) -> Option<&Recording> {
        if let Mode::Recorded(recording) = &self.mode { Some(recording) } else { None }
    }

    pub(super) fn playing(&self) -> Option<&Played> {
        if let Mode::Played(played) = &self.mode { Some(played) } else { None }
    }
}

impl Played {
    fn reading(&self) -> u64 {
        let at = self.read.fetch_add(1, Ordering::Relaxed);
        let Some(reading) = self.readings.get(at) else {
            self.left.note(|| format!("the time, for the {}th time", at + 1));
            // It still goes on, or a guest that waits for a moment would never come to it.
            let beyond = (at - self.readings.len() + 1) as u64 * BEYOND_NS;
            return self.readings.last().copied().unwrap_or_default().saturating_add(beyond);
        };
        *reading
    }

    pub(super) fn next(&self) -> Option<Exchange> {
        lock(&self.exchanges).next()
    }
}

impl Tape {
    /// Returns the mount at `at` of the call, as its base answered.
    pub(crate) fn base(&self, at: usize, contents: Contents, left: Left) -> Base {
        let MountTape { name, files, .. } = &self.mounts[at];
        Base::played(Player::new(name, files.clone(), contents, left))
    }
}
