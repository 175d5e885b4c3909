-- Environments and what is wanted of them. Revision rows are a cache of the deploy repository.
CREATE TABLE environment (
    project             TEXT    NOT NULL REFERENCES project(name) ON DELETE CASCADE,
    name                TEXT    NOT NULL,
    branch              TEXT,                        -- the branch whose releases are delivered by themselves
    created_at          INTEGER NOT NULL,
    considered_release  INTEGER NOT NULL DEFAULT 0,  -- the newest release that was considered for delivery
    configuration       INTEGER NOT NULL DEFAULT 0,  -- the configuration version that the next render uses
    generation          INTEGER NOT NULL DEFAULT 0,
    target              INTEGER,                     -- the revision that the reconcile loop moves to
    target_since        INTEGER NOT NULL DEFAULT 0,
    serving             INTEGER,                     -- the revision that had all traffic at the last switch
    status              TEXT    NOT NULL DEFAULT '{"is":"idle"}',
    status_generation   INTEGER NOT NULL DEFAULT 0,  -- the generation that `status` speaks of
    status_at           INTEGER NOT NULL DEFAULT 0,
    hindrance           TEXT,                        -- JSON: why the deploy repository cannot be followed now
    PRIMARY KEY (project, name)
) STRICT;

CREATE TABLE revision (
    project       TEXT    NOT NULL,
    environment   TEXT    NOT NULL,
    number        INTEGER NOT NULL,
    commit_id     TEXT    NOT NULL,
    release       INTEGER,
    configuration INTEGER NOT NULL,
    author        TEXT    NOT NULL,
    message       TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    PRIMARY KEY (project, environment, number),
    FOREIGN KEY (project, environment) REFERENCES environment(project, name) ON DELETE CASCADE
) STRICT;

-- What became of moving an environment to a revision.
CREATE TABLE rollout (
    project       TEXT    NOT NULL,
    environment   TEXT    NOT NULL,
    revision      INTEGER NOT NULL,
    started_at    INTEGER NOT NULL,
    released      INTEGER NOT NULL DEFAULT 0,        -- 1: the release command is done
    switched_at   INTEGER,
    finished_at   INTEGER,
    outcome       TEXT    NOT NULL DEFAULT 'moving', -- moving, live, failed, overtaken
    problem       TEXT,
    PRIMARY KEY (project, environment, revision),
    FOREIGN KEY (project, environment) REFERENCES environment(project, name) ON DELETE CASCADE
) STRICT;

-- Known to be bad. A person can lift it.
CREATE TABLE quarantine (
    project      TEXT    NOT NULL,
    environment  TEXT    NOT NULL,
    revision     INTEGER NOT NULL,
    release      INTEGER,
    reason       TEXT    NOT NULL,
    by           TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (project, environment, revision),
    FOREIGN KEY (project, environment) REFERENCES environment(project, name) ON DELETE CASCADE
) STRICT;

-- What a person or a release asked for, until it is a commit.
CREATE TABLE intent (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    project      TEXT    NOT NULL,
    environment  TEXT    NOT NULL,
    kind         TEXT    NOT NULL,                   -- JSON: deploy, rollback, render
    by           TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    state        TEXT    NOT NULL DEFAULT 'pending', -- pending, done, failed
    commit_id    TEXT,
    problem      TEXT,
    FOREIGN KEY (project, environment) REFERENCES environment(project, name) ON DELETE CASCADE
) STRICT;
CREATE INDEX intent_pending ON intent (project) WHERE state = 'pending';

CREATE TABLE configuration (
    project      TEXT    NOT NULL,
    environment  TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    variables    TEXT    NOT NULL,                   -- JSON: name -> value
    by           TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (project, environment, version),
    FOREIGN KEY (project, environment) REFERENCES environment(project, name) ON DELETE CASCADE
) STRICT;

-- Secrets of an environment, or of the project's pipeline when `environment` is empty.
CREATE TABLE secret_version (
    project      TEXT    NOT NULL REFERENCES project(name) ON DELETE CASCADE,
    environment  TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    sealed       TEXT,                               -- NULL: revoked
    by           TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (project, environment, name, version)
) STRICT;

-- The version that the next render uses; no row when the secret is unset.
CREATE TABLE secret_current (
    project      TEXT    NOT NULL REFERENCES project(name) ON DELETE CASCADE,
    environment  TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    PRIMARY KEY (project, environment, name)
) STRICT;
