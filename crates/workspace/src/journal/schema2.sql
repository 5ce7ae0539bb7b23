-- Schema 2. Every row carries the hash that links it to the one before it; some of these hashes are signed.

-- What tells this journal from every other.
CREATE TABLE journal (
    id BLOB NOT NULL
) STRICT;
INSERT INTO journal VALUES (randomblob(16));

-- The rows that are there get theirs next, so the trigger that forbids it is away until then.
ALTER TABLE events ADD COLUMN hash BLOB NOT NULL DEFAULT x'';
DROP TRIGGER events_are_not_changed;

CREATE TABLE checkpoints (
    -- From 0 without gaps.
    number       INTEGER PRIMARY KEY,
    -- The event that is signed, and with it every one before; 0 is the empty journal.
    sequence     INTEGER NOT NULL,
    hash         BLOB NOT NULL,
    signed_at_ms INTEGER NOT NULL,
    key          BLOB NOT NULL,
    signature    BLOB NOT NULL
) STRICT;

CREATE TRIGGER journals_are_not_changed BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;
CREATE TRIGGER journals_are_not_taken_away BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;
CREATE TRIGGER checkpoints_are_not_changed BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;
CREATE TRIGGER checkpoints_are_not_taken_away BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;
