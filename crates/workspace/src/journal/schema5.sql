-- Schema 5. Contents may be freed, once an event has said so.

-- A projection: the contents that were freed last by this event, and not kept again since.
CREATE TABLE freed (
    hash     TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT;

CREATE TRIGGER contents_are_freed AFTER INSERT ON events WHEN NEW.kind = 'contents_freed'
BEGIN INSERT OR REPLACE INTO freed SELECT value, NEW.sequence FROM json_each(NEW.body, '$.contents'); END;
CREATE TRIGGER contents_are_kept_again AFTER INSERT ON contents
BEGIN DELETE FROM freed WHERE hash = NEW.hash; END;

DROP TRIGGER contents_are_not_taken_away;
CREATE TRIGGER contents_are_not_taken_away BEFORE DELETE ON contents
WHEN NOT EXISTS (SELECT 1 FROM freed WHERE hash = OLD.hash)
BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;
