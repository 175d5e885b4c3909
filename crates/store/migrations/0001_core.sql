-- Projects and leases: what every other table leans on.
CREATE TABLE project (
    name            TEXT    NOT NULL PRIMARY KEY,
    default_branch  TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,           -- milliseconds since 1970
    deleting        INTEGER NOT NULL DEFAULT 0  -- 1: being taken down; rows go when nothing of it runs
) STRICT;

CREATE TABLE lease (
    name        TEXT    NOT NULL PRIMARY KEY,
    holder      TEXT    NOT NULL,
    fence       INTEGER NOT NULL,               -- raised at every change of holder
    expires_at  INTEGER NOT NULL
) STRICT;
