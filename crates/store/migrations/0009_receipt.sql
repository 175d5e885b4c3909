-- What was seen at each turn of a rollout that has no receipt yet.
CREATE TABLE rollout_moment (
    project      TEXT    NOT NULL,
    environment  TEXT    NOT NULL,
    revision     INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    is_end       INTEGER NOT NULL,                   -- 1: nothing was left to do
    moment       TEXT    NOT NULL,                   -- JSON
    PRIMARY KEY (project, environment, revision, number),
    FOREIGN KEY (project, environment) REFERENCES environment(project, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The signed receipts of rollouts; one more when a rollout that had ended well was undone.
CREATE TABLE receipt (
    project      TEXT    NOT NULL,
    environment  TEXT    NOT NULL,
    revision     INTEGER NOT NULL,
    outcome      TEXT    NOT NULL,                   -- live, failed, overtaken
    issued_at    INTEGER NOT NULL,
    envelope     TEXT    NOT NULL,                   -- JSON: DSSE
    PRIMARY KEY (project, environment, revision, outcome),
    FOREIGN KEY (project, environment) REFERENCES environment(project, name) ON DELETE CASCADE
) STRICT;
