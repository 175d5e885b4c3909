-- Settings of a project, which count in each of its environments that has none of that name itself, and which secrets an
-- environment had when.
CREATE TABLE shared_configuration (
    project      TEXT    NOT NULL REFERENCES project(name) ON DELETE CASCADE,
    version      INTEGER NOT NULL,
    variables    TEXT    NOT NULL,                   -- JSON: name -> value
    by           TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (project, version)
) STRICT;

-- `variables` is what counts; these of them come from the project.
ALTER TABLE configuration ADD COLUMN inherited TEXT NOT NULL DEFAULT '[]'; -- JSON: names

-- Secrets of a project have the environment `*`. In an environment, a version that was taken over from there.
ALTER TABLE secret_version ADD COLUMN shared INTEGER; -- the project's version, for whose place the value is sealed

CREATE TABLE secret_set (
    project      TEXT    NOT NULL REFERENCES project(name) ON DELETE CASCADE,
    environment  TEXT    NOT NULL,                   -- as in `secret_version`
    version      INTEGER NOT NULL,
    secrets      TEXT    NOT NULL,                   -- JSON: name -> version
    by           TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (project, environment, version)
) STRICT;
INSERT INTO secret_set (project, environment, version, secrets, by, created_at)
    SELECT current.project, current.environment, 1, json_group_object(current.name, current.version), 'naru',
           max(version.created_at)
    FROM secret_current AS current JOIN secret_version AS version
      ON version.project = current.project AND version.environment = current.environment
     AND version.name = current.name AND version.version = current.version
    GROUP BY current.project, current.environment;
