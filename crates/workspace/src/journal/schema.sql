-- Schema 1. The journal only grows: no row is ever changed or taken away, and a later schema adds to this one.

CREATE TABLE events (
    sequence       INTEGER PRIMARY KEY,
    session        TEXT NOT NULL,
    recorded_at_ms INTEGER NOT NULL,
    -- The event's type, where events are looked up by it; the others pay for no index.
    kind           TEXT,
    -- Of commits: the change set, the one it takes back, and which directory it goes to.
    change_set     TEXT,
    undoes         TEXT,
    place          TEXT,
    body           TEXT NOT NULL
) STRICT;

CREATE INDEX events_of_session ON events (session);
CREATE INDEX events_of_kind ON events (kind) WHERE kind IS NOT NULL;
CREATE INDEX kinds_of_session ON events (session, kind) WHERE kind IS NOT NULL;
CREATE INDEX events_of_change_set ON events (change_set, kind) WHERE change_set IS NOT NULL;
CREATE INDEX events_that_undo ON events (undoes) WHERE undoes IS NOT NULL;

CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;
CREATE TRIGGER events_are_not_taken_away BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;

-- Small contents of commits, before and after. They ride with the intent, so that one flush makes both durable.
CREATE TABLE contents (
    hash  TEXT NOT NULL UNIQUE,
    bytes BLOB NOT NULL
) STRICT;

CREATE TRIGGER contents_are_not_changed BEFORE UPDATE ON contents
BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;
CREATE TRIGGER contents_are_not_taken_away BEFORE DELETE ON contents
BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;

-- A projection: the commits that have begun and not ended.
CREATE TABLE unfinished (
    change_set TEXT PRIMARY KEY,
    intent     INTEGER NOT NULL
) STRICT;

CREATE TRIGGER commits_begin AFTER INSERT ON events WHEN NEW.kind = 'commit_intended'
BEGIN INSERT INTO unfinished VALUES (NEW.change_set, NEW.sequence); END;
CREATE TRIGGER commits_end AFTER INSERT ON events WHEN NEW.kind = 'commit_finished'
BEGIN DELETE FROM unfinished WHERE change_set = NEW.change_set; END;
