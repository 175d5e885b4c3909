-- The trigger ledger: what asked for a run, and what became of it.
CREATE TABLE trigger (
    id           TEXT    NOT NULL PRIMARY KEY,  -- UUID version 7: later ones sort later
    project      TEXT    NOT NULL REFERENCES project (name) ON DELETE CASCADE,
    kind         TEXT    NOT NULL,              -- push, deploy-push, found, person
    reference    TEXT    NOT NULL,              -- as it was sent, such as refs/heads/main; may be a name that was refused
    old          TEXT,                          -- commit before; NULL: the reference did not exist
    new          TEXT,                          -- commit after; NULL: the reference was deleted
    "by"         TEXT    NOT NULL,              -- login of who asked
    received_at  INTEGER NOT NULL,
    state        TEXT    NOT NULL,              -- received, accepted, rejected, run, ignored, superseded, failed
    detail       TEXT    NOT NULL DEFAULT '',   -- one sentence for people
    run          INTEGER,                       -- the run it led to
    replay_of    TEXT                           -- the trigger that this one repeats
) STRICT;
CREATE INDEX trigger_by_project ON trigger (project, id);
CREATE INDEX trigger_open ON trigger (state, id) WHERE state IN ('received', 'accepted');

-- Where each branch was when its last move was recorded. A branch that is elsewhere was moved behind our back.
CREATE TABLE known_head (
    project      TEXT    NOT NULL REFERENCES project (name) ON DELETE CASCADE,
    reference    TEXT    NOT NULL,
    commit_id    TEXT    NOT NULL,
    PRIMARY KEY (project, reference)
) STRICT;
