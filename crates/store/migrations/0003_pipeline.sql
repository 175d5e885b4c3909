-- Runs with their steps, and the releases that successful ones made.
CREATE TABLE run (
    project        TEXT    NOT NULL REFERENCES project (name) ON DELETE CASCADE,
    number         INTEGER NOT NULL,            -- counts from 1 within the project
    trigger_id     TEXT    NOT NULL,            -- what asked for it
    branch         TEXT    NOT NULL,
    commit_id      TEXT    NOT NULL,
    state          TEXT    NOT NULL,            -- queued, running, succeeded, failed, cancelled, superseded
    cancel         INTEGER NOT NULL DEFAULT 0,  -- 1: a person asked for its end
    note           TEXT    NOT NULL DEFAULT '', -- what it waits for, in words for people
    problem        TEXT,                        -- why it failed, as JSON
    superseded_by  INTEGER,                     -- the run that took its place
    release        INTEGER,                     -- the release it made
    definition     TEXT,                        -- the commit's checked definition, as JSON; NULL: it had none
    created_at     INTEGER NOT NULL,
    started_at     INTEGER,
    finished_at    INTEGER,
    cleared        INTEGER NOT NULL DEFAULT 0,  -- 1: the engine has nothing of it any more
    PRIMARY KEY (project, number)
) STRICT;
CREATE INDEX run_open ON run (created_at) WHERE cleared = 0;

CREATE TABLE step (
    project        TEXT    NOT NULL,
    run            INTEGER NOT NULL,
    name           TEXT    NOT NULL,            -- a step's name, or build:<service>
    state          TEXT    NOT NULL,            -- waiting, starting, running, succeeded, failed, skipped, cancelled
    attempt        INTEGER NOT NULL,            -- 0 before the first
    started_at     INTEGER,
    finished_at    INTEGER,
    exit           TEXT,                        -- how its job ended, as JSON
    outputs        TEXT    NOT NULL,            -- what its job left, as JSON
    log_complete   INTEGER NOT NULL DEFAULT 0,  -- 1: all that the last attempt printed is stored
    PRIMARY KEY (project, run, name),
    FOREIGN KEY (project, run) REFERENCES run (project, number) ON DELETE CASCADE
) STRICT;

CREATE TABLE release (
    project        TEXT    NOT NULL REFERENCES project (name) ON DELETE CASCADE,
    number         INTEGER NOT NULL,            -- counts from 1 within the project
    run            INTEGER NOT NULL,            -- the run that made it
    branch         TEXT    NOT NULL,
    commit_id      TEXT    NOT NULL,
    images         TEXT    NOT NULL,            -- by the service that built them, as JSON
    definition     TEXT    NOT NULL,            -- as JSON
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (project, number),
    UNIQUE (project, run)
) STRICT;
