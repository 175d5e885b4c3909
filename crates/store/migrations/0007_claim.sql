-- The hosts and paths of revisions that are wanted or serve: each leads to one environment. Rows of other revisions
-- mean nothing, and go when the environment aims elsewhere.
CREATE TABLE claim (
    project      TEXT    NOT NULL,
    environment  TEXT    NOT NULL,
    revision     INTEGER NOT NULL,
    host         TEXT    NOT NULL,
    path         TEXT    NOT NULL,
    PRIMARY KEY (project, environment, revision, host, path),
    FOREIGN KEY (project, environment) REFERENCES environment(project, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX claim_by_place ON claim (host, path);
