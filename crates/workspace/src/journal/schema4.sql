-- Schema 4. The view of each session that was kept last, so that going on with it need not replay what is before. It follows
-- from the events, and its hash is in one of them; any row may be freed at any time.

CREATE TABLE views (
    session TEXT PRIMARY KEY,
    bytes   BLOB NOT NULL
) STRICT;
