-- Certificates by host and by where they come from. Private keys are sealed before they come here.
CREATE TABLE certificate (
    host         TEXT    NOT NULL,
    source       TEXT    NOT NULL CHECK (source IN ('own', 'acme', 'local')),
    chain        TEXT    NOT NULL,             -- PEM, the host's own first
    key          TEXT    NOT NULL,             -- sealed
    not_before   INTEGER NOT NULL,
    not_after    INTEGER NOT NULL,
    by           TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (host, source)
) STRICT, WITHOUT ROWID;

-- Hosts for which no certificate could be had, since when, why, and when it is tried again.
CREATE TABLE certificate_trouble (
    host           TEXT    NOT NULL PRIMARY KEY,
    since          INTEGER NOT NULL,
    attempts       INTEGER NOT NULL,
    reason         TEXT    NOT NULL,
    next_attempt   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One account per ACME directory; its credentials are sealed.
CREATE TABLE acme_account (
    directory    TEXT    NOT NULL PRIMARY KEY,
    credentials  TEXT    NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the edge answers while an order is under way.
CREATE TABLE acme_challenge (
    token        TEXT    NOT NULL PRIMARY KEY,
    host         TEXT    NOT NULL,
    answer       TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- The authority of this instance, made once.
CREATE TABLE local_authority (
    id           INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    certificate  TEXT    NOT NULL,             -- PEM
    key          TEXT    NOT NULL,             -- sealed
    created_at   INTEGER NOT NULL
) STRICT;

-- What the hosts of an environment ask of visitors; without a row: redirect to TLS, and nothing about the future.
CREATE TABLE transport (
    project      TEXT    NOT NULL,
    environment  TEXT    NOT NULL,
    redirect     INTEGER NOT NULL,
    hsts_s       INTEGER,
    PRIMARY KEY (project, environment),
    FOREIGN KEY (project, environment) REFERENCES environment(project, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
