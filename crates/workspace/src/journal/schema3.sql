-- Schema 3. What is spent and reserved, for each account: a projection of what the events of model calls say, kept in their
-- transactions. Amounts are JSON.

CREATE TABLE accounts (
    name     TEXT PRIMARY KEY,
    spent    TEXT NOT NULL,
    reserved TEXT NOT NULL
) STRICT;

-- Model calls under way, or that nobody heard of again.
CREATE TABLE reservations (
    turn     TEXT NOT NULL,
    number   INTEGER NOT NULL,
    session  TEXT NOT NULL,
    accounts TEXT NOT NULL,
    spending TEXT NOT NULL,
    PRIMARY KEY (turn, number)
) STRICT;

CREATE INDEX reservations_of_session ON reservations (session);
